import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { loopbackAddresses } from '@millrace/shared/imports/loopback-name.ts'
import type { IsPermittedAddress } from '@millrace/shared/imports/public-address.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** Timeout of one DNS query in ms, and the number of tries. */
const queryLimits = { timeout: 3_000, tries: 2 }

/** c-ares' codes for a name that does not exist, has no address, or is invalid. */
const noAddress = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME', 'EFORMERR'])

/**
 * Resolves the addresses of sources. Connections are made to these addresses only. It queries DNS directly, since the
 * system's resolver also knows this machine's own names (`/etc/hosts`, search domains). Of those, only `localhost` is
 * known here, without DNS.
 *
 * @param deps.isPermitted decides which addresses are permitted
 * @param deps.dnsServers `address` or `address:port` of each; empty: the system's servers
 */
export function createSourceAddresses(deps: {
  isPermitted: IsPermittedAddress
  dnsServers: readonly string[]
}) {
  const { isPermitted, dnsServers } = deps
  const resolver = new Resolver(queryLimits)
  if (dnsServers.length > 0) resolver.setServers(dnsServers)

  /**
   * @param hostname of a URL from the WHATWG parser
   * @throws AppError `source_refused` for an address that is not permitted and for an unknown name alike, so that
   *   internal names cannot be detected; `source_unavailable` if DNS does not respond
   */
  return async function sourceAddresses(hostname: string): Promise<LookupAddress[]> {
    // In URLs, IPv6 addresses are in brackets.
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    // Node does not call `lookup` for a literal address, so it must be checked here.
    const addresses =
      isIP(host) === 0 ? (loopbackAddresses(host)?.filter(isPermitted) ?? (await resolve(host))) : [host]
    // One address that is not permitted refuses the name. Mixing it with public addresses is a known attack.
    if (addresses.length === 0 || !addresses.every(isPermitted)) throw new AppError('source_refused')
    return addresses.map((address) => ({ address, family: isIP(address) }))
  }

  async function resolve(name: string): Promise<string[]> {
    const results = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const addresses = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
    if (addresses.length > 0) return addresses
    for (const result of results) {
      if (result.status === 'rejected' && !noAddress.has(result.reason?.code)) {
        throw new AppError('source_unavailable', { cause: result.reason })
      }
    }
    return []
  }
}

export type SourceAddresses = ReturnType<typeof createSourceAddresses>
