import { isIP } from 'node:net'
import { createPublicAddress } from '../imports/public-address.ts'
import { httpUrlProblem } from '../imports/source-url.ts'
import { webhookUrlMaxLength } from './webhook.ts'

/** What a name for this machine resolves to (RFC 6761, 6.3). */
const loopback = ['127.0.0.1', '::1']

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
    if (addressesIn(url.hostname).every(isPermitted)) return undefined
    return 'must be at a public address, or in a network of WEBHOOK_ALLOWED_NETWORKS'
  }
}

export type WebhookUrlCheck = ReturnType<typeof createWebhookUrlCheck>

/** Returns the addresses that a host is without asking anyone. @param hostname of a URL from the WHATWG parser */
function addressesIn(hostname: string): string[] {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  if (isIP(host) !== 0) return [host]
  return host === 'localhost' || host.endsWith('.localhost') ? loopback : []
}
