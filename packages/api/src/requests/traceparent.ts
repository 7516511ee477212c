import { isTraceparent } from '@millrace/shared/tracing/traceparent.ts'
import type { FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyRequest {
    /** The span of this request, if requests are traced (`trace-requests.ts`). */
    traceparent?: string | undefined
  }
}

/**
 * Returns the trace of a request as a field of an intent: its span, or else what the client sent. An empty object if there is
 * no valid one.
 */
export function traceOf(request: FastifyRequest): { traceparent?: string } {
  const traceparent = request.traceparent ?? request.headers['traceparent']
  return isTraceparent(traceparent) ? { traceparent } : {}
}
