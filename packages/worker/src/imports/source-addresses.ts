import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { IsPermittedAddress } from './public-address.ts'

/** How long one question to a DNS server may take, in ms, and how often it is put. */
const patience = { timeout: 3_000, tries: 2 }

/** What DNS answers of a name that does not exist, has no address, or is no name (c-ares' words). */
const noAddress = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME', 'EFORMERR'])

/**
 * Finds the addresses of sources: the only ones that their connections are made to. DNS is asked itself rather
 * than the system's resolver, which also knows this machine's own names (`/etc/hosts`, search domains).
 *
 * @param deps.isPermitted says which addresses may be talked to
 * @param deps.dnsServers `address` or `address:port` of each; none: the system's
 */
export function createSourceAddresses(deps: {
  isPermitted: IsPermittedAddress
  dnsServers: readonly string[]
}) {
  const { isPermitted, dnsServers } = deps
  const resolver = new Resolver(patience)
  if (dnsServers.length > 0) resolver.setServers(dnsServers)

  /**
   * @param hostname of a URL, as the WHATWG parser gives it
   * @throws AppError `source_refused`: nothing tells whether the name leads inside or nowhere, or else names of
   *   the inside could be looked for; `source_unavailable` where DNS does not answer
   */
  return async function sourceAddresses(hostname: string): Promise<LookupAddress[]> {
    // In URLs, and there alone, IPv6 addresses are in brackets.
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    // Node asks no `lookup` for these, so they must not come as far as a request unseen.
    const found = isIP(host) === 0 ? await resolve(host) : [host]
    // One address inside is enough: whoever names it along with public ones wants it to be taken.
    if (found.length === 0 || !found.every(isPermitted)) throw new AppError('source_refused')
    return found.map((address) => ({ address, family: isIP(address) }))
  }

  async function resolve(name: string): Promise<string[]> {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    if (found.length > 0) return found
    for (const answer of answers) {
      if (answer.status === 'rejected' && !noAddress.has(answer.reason?.code)) {
        throw new AppError('source_unavailable', { cause: answer.reason })
      }
    }
    return []
  }
}

export type SourceAddresses = ReturnType<typeof createSourceAddresses>
