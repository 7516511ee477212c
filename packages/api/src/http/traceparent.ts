import type { FastifyRequest } from 'fastify'

/** W3C Trace Context, version 00 and later ones that begin alike. */
const form = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** The trace that a request belongs to, as a field of an intent; nothing where it names none. */
export function traceOf(request: FastifyRequest): { traceparent?: string } {
  const traceparent = request.headers['traceparent']
  return typeof traceparent === 'string' && form.test(traceparent) ? { traceparent } : {}
}
