import type { FastifyRequest } from 'fastify'

/** W3C Trace Context: version 00, and later versions in the same format. */
const format = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** Returns the trace of a request as a field of an intent, or an empty object without a valid one. */
export function traceOf(request: FastifyRequest): { traceparent?: string } {
  const traceparent = request.headers['traceparent']
  return typeof traceparent === 'string' && format.test(traceparent) ? { traceparent } : {}
}
