import type { FastifyRequest } from 'fastify'

/**
 * Returns the address of a request's client, as a trusted proxy names it. A client that disconnected before its request was
 * handled has no address any more: then `unknown`.
 */
export function clientAddress(request: Pick<FastifyRequest, 'ip'>): string {
  const { ip }: { ip: string | undefined } = request
  return ip ?? 'unknown'
}
