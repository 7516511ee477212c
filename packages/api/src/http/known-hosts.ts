import type { IncomingMessage } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'

/** A name or an IPv4 address, or an IPv6 address in brackets, with an optional port (RFC 3986, 3.2.2), in lower case. */
const hostForm = /^([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])\.?(?::\d{0,5})?$/
/** All of 127.0.0.0/8, and all names under `localhost` (RFC 6761, 6.3). */
const loopbackForm = /^(?:127(?:\.\d{1,3}){3}|(?:.+\.)?localhost|\[::1\])$/
/** IPv4 addresses in IPv6 form (RFC 4291, 2.5.5.2), as sockets that accept both show them. */
const mappedPrefix = '::ffff:'

/**
 * Creates the check whether a host is one of the API's own. A page of another site can make its own name resolve to this
 * machine (DNS rebinding). Then its requests count as same-origin for the browser, and only the name shows that they are
 * not.
 *
 * Ports are ignored: they are no protection, since the other name may have any.
 *
 * @param options.publicOrigin its host is known
 * @param options.allowedHosts more names and addresses, with or without a port
 */
export function createKnownHosts(options: { publicOrigin: string; allowedHosts: string[] }) {
  const hosts = [new URL(options.publicOrigin).host, ...options.allowedHosts]
  const known = new Set(hosts.flatMap((host) => [host.toLowerCase(), nameOf(host) ?? '']))
  known.delete('')

  /**
   * @param host of a request, as the client wrote it
   * @param connection the address that it was made to, if an IP address is the host, is known: a page of another site
   *   has a name as its host
   */
  return function isKnownHost(host: string, connection: { localAddress?: string | undefined }): boolean {
    // Nearly all requests end here.
    if (known.has(host)) return true
    const name = nameOf(host)
    if (name === undefined) return false
    // Read last, since it is a call to the system.
    return known.has(name) || loopbackForm.test(name) || name === hostOf(connection.localAddress ?? '')
  }
}

export type IsKnownHost = ReturnType<typeof createKnownHosts>

/**
 * Returns the host that a request is for: that of an absolute request target, or else the Host header (RFC 9112, 3.2.2).
 * Only clients of proxies send absolute targets, but Fastify routes them.
 */
export function requestedHost({ url = '/', headers }: IncomingMessage): string | undefined {
  if (url.startsWith('/')) return headers.host
  return URL.parse(url)?.host || headers.host
}

/** Returns a host in its one form: lower case, without port and final dot. Undefined if it is not a host. */
function nameOf(host: string): string | undefined {
  const name = hostForm.exec(host.toLowerCase())?.[1]
  return name?.startsWith('[') ? URL.parse(`http://${name}`)?.hostname : name
}

/** Returns the host of a socket's address; undefined if it is not an IP address. */
function hostOf(address: string): string | undefined {
  const [withoutZone = ''] = address.split('%')
  if (withoutZone.startsWith(mappedPrefix)) return withoutZone.slice(mappedPrefix.length)
  if (isIPv6(withoutZone)) return nameOf(`[${withoutZone}]`)
  return isIPv4(withoutZone) ? withoutZone : undefined
}
