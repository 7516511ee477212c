import { isIP, type Socket } from 'node:net'

/** The line of a connection that is the balancer's own. */
export const ownProxyLine = 'PROXY UNKNOWN\r\n'

/**
 * Returns the line of the PROXY protocol, version 1, that begins a connection to an instance and names the addresses of
 * the client's connection. Instances need both: the client's for limits by address, and the other to know under which
 * hosts they are reached (`api/http/proxy-protocol.ts`).
 */
export function proxyLine({ remoteAddress, localAddress, remotePort, localPort }: Socket): string {
  // A client that has disconnected has no addresses any more.
  if (remoteAddress === undefined || localAddress === undefined) return ownProxyLine
  const [client, server] = [withoutZone(remoteAddress), withoutZone(localAddress)]
  return `PROXY TCP${isIP(client)} ${client} ${server} ${remotePort} ${localPort}\r\n`
}

function withoutZone(address: string): string {
  return address.replace(/%.*$/, '')
}
