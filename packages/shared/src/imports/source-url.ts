/** Longer ones are no addresses that anybody hands out; URLs that are signed for S3 with a session have 2 KB. */
export const sourceUrlMaxLength = 8192

/** The port of a URL, also where it is the usual one of its scheme. */
function portOf({ protocol, port }: URL): number {
  if (port !== '') return Number(port)
  return protocol === 'https:' ? 443 : 80
}

/**
 * Looks at the form of an address that a file is to be fetched from. Where it leads is not known before its
 * name has been resolved: that is looked at by who connects to it.
 *
 * @param url as the WHATWG parser reads it, which turns every spelling of an IPv4 address into the usual one;
 *   null where it cannot
 * @param allowedPorts all others are refused, also of public hosts, so that nobody looks for services through us
 * @returns what is wrong with it, in words that follow the name of a field; undefined where nothing is
 */
export function sourceUrlProblem(url: URL | null, allowedPorts: readonly number[]): string | undefined {
  if (!url) return 'must be a whole URL'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https:// or http://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password'
  if (!allowedPorts.includes(portOf(url))) return `must be of port ${allowedPorts.join(' or ')}`
  return undefined
}
