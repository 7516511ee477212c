import { isIP } from 'node:net'
import { loopbackAddresses } from '../imports/loopback-name.ts'
import { createPublicAddress } from '../imports/public-address.ts'
import { httpUrlProblem } from '../imports/source-url.ts'
import { webhookUrlMaxLength } from './webhook.ts'

/**
 * Creates the check of a webhook's URL. Names are resolved when an event is sent, since their addresses may change; a
 * literal address, and a name for this machine, are checked at once.
 *
 * @param allowedNetworks addresses and CIDR blocks that are permitted although they are not public
 */
export function createWebhookUrlCheck(allowedNetworks: readonly string[]) {
  const isPermitted = createPublicAddress(allowedNetworks)

  /** @returns the problem, as a phrase that follows the field's name, or undefined if there is none */
  return function webhookUrlProblem(text: string): string | undefined {
    const url = URL.parse(text)
    const problem = httpUrlProblem(url)
    if (problem || !url) return problem
    // Encoding makes it longer.
    if (url.href.length > webhookUrlMaxLength) return `must have at most ${webhookUrlMaxLength} characters`
    if (mayBePermitted(url.hostname)) return undefined
    return 'must be at a public address, or in a network of WEBHOOK_ALLOWED_NETWORKS'
  }

  /** Returns false for an address that is refused, whatever DNS says later. @param hostname from the WHATWG parser */
  function mayBePermitted(hostname: string): boolean {
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    return isIP(host) === 0 ? (loopbackAddresses(host)?.some(isPermitted) ?? true) : isPermitted(host)
  }
}

export type WebhookUrlCheck = ReturnType<typeof createWebhookUrlCheck>
