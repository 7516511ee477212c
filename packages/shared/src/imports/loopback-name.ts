/** What a name for this machine resolves to (RFC 6761, 6.3). */
const loopback: readonly string[] = ['127.0.0.1', '::1']

/**
 * Returns the addresses of a name for this machine: `localhost` and all names under it. DNS is not asked for them
 * (RFC 6761, 6.3): it often has no answer, and another one would be wrong. Nobody else chooses these addresses, so a
 * caller may use the permitted ones among them.
 *
 * @param hostname of a URL from the WHATWG parser, which is in lower case
 * @returns undefined for all other names
 */
export function loopbackAddresses(hostname: string): readonly string[] | undefined {
  const name = hostname.replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost') ? loopback : undefined
}
