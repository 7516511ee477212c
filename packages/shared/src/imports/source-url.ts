/**
 * Longest accepted URL, in characters, also after percent-encoding: the record contains it until a worker has the file. A URL
 * signed for S3 with session credentials has some 2,000.
 */
export const sourceUrlMaxLength = 4096

/** Returns a URL's port, or its scheme's default port. */
function portOf({ protocol, port }: URL): number {
  if (port !== '') return Number(port)
  return protocol === 'https:' ? 443 : 80
}

/**
 * Validates the form of an import's URL. The address is checked later, when the worker resolves the name and
 * connects.
 *
 * @param url from the WHATWG parser, which normalizes every spelling of an IPv4 address; null if it does not
 *   parse
 * @param allowedPorts other ports are refused, also on public hosts, so that imports cannot scan for services
 * @returns the problem, as a phrase that follows the field's name, or undefined if there is none
 */
export function sourceUrlProblem(url: URL | null, allowedPorts: readonly number[]): string | undefined {
  const problem = httpUrlProblem(url)
  if (problem || !url) return problem
  if (!allowedPorts.includes(portOf(url))) return `must use port ${allowedPorts.join(' or ')}`
  return undefined
}

/**
 * Validates the form of a URL to which a worker sends requests for a client.
 *
 * @param url from the WHATWG parser; null if it does not parse
 * @returns the problem, as a phrase that follows the field's name, or undefined if there is none
 */
export function httpUrlProblem(url: URL | null): string | undefined {
  if (!url) return 'must be an absolute URL'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must start with https:// or http://'
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or a password'
  return undefined
}
