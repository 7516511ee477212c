import { FastifyOtelInstrumentation } from '@fastify/otel'
import { traceparentOf } from '@millrace/shared/tracing/start-tracing.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { Span } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/**
 * Makes each request to an app a span with the name of its operation, as a child of the client's span if it sent a valid
 * `traceparent`. A route with `config.otel: false` is not traced. Of an instance that is traced, this is called before any
 * hook or route is added. Loads OpenTelemetry, so only `main.ts` imports it, while tracing is on.
 *
 * There is no span for each hook and handler: some twenty for each request, which take microseconds.
 */
export function traceRequests(app: FastifyInstance): void {
  const instrumentation = new FastifyOtelInstrumentation({
    instrumentHooks: false,
    instrumentHandler: false,
    recordExceptions: false,
    requestHook: describe,
  })
  app.decorateRequest('traceparent', undefined)
  // Called rather than registered: hooks of registered plugins would run after those that are added next.
  instrumentation.plugin()(app, {}, () => undefined)
  app.addHook('onRequest', (request, reply, done) => {
    const { span } = request.opentelemetry()
    // The plugin ends spans with a response. A client that disconnects gets none.
    if (span) reply.raw.once('close', () => endAborted(span))
    done()
  })
}

function describe(span: Span, request: FastifyRequest): void {
  request.traceparent = traceparentOf(span.spanContext())
  span.updateName(request.routeOptions.config.operation ?? 'noRoute')
  const id = uploadIdOf(request.params)
  if (id !== undefined) span.setAttribute('millrace.upload.id', id)
}

function endAborted(span: Span): void {
  if (!span.isRecording()) return
  span.setAttribute('error.type', 'client_disconnected').end()
}

function uploadIdOf(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null || !('id' in params)) return undefined
  return typeof params.id === 'string' && isUploadId(params.id) ? params.id : undefined
}
