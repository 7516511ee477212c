import { type SpanContext, SpanKind, type SpanStatus, SpanStatusCode } from '@opentelemetry/api'
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-base'

/**
 * The attributes that leave the process. Libraries add others, with whole URLs, messages of errors and results of jobs, which
 * may contain signatures, file names and other data of users.
 */
const exportedNames: ReadonlySet<string> = new Set([
  'http.request.method',
  'http.route',
  'http.response.status_code',
  'error.type',
  'rpc.system',
  'rpc.service',
  'rpc.method',
  'bullmq.queue.name',
  'bullmq.queue.operation',
  'bullmq.job.name',
  'bullmq.job.id',
  'bullmq.job.attempts.made',
  'millrace.upload.id',
  'millrace.object',
])

/** BullMQ's tracer. Its internal spans are of its own loops, such as each look for a job. */
const bullmqScope = 'bullmq'

/**
 * Passes on finished spans with what may leave the process: names, times, ids, links and the attributes of the list above. No
 * events, which are exceptions with their stacks, and no messages.
 *
 * @param next exports them
 */
export function createSpanFilter(next: SpanProcessor): SpanProcessor {
  return {
    onStart: (span, context) => next.onStart(span, context),
    onEnd(span) {
      const isLoop = span.instrumentationScope.name === bullmqScope && span.kind === SpanKind.INTERNAL
      if (!isLoop) next.onEnd(exported(span))
    },
    forceFlush: () => next.forceFlush(),
    shutdown: () => next.shutdown(),
  }
}

function exported(span: ReadableSpan): ReadableSpan {
  const attributes = Object.fromEntries(
    Object.entries(span.attributes).filter(([name]) => exportedNames.has(name)),
  )
  return {
    name: span.name,
    kind: span.kind,
    spanContext: () => withoutState(span.spanContext()),
    ...(span.parentSpanContext && { parentSpanContext: span.parentSpanContext }),
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: statusOf(span),
    attributes,
    links: span.links,
    events: [],
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: span.droppedLinksCount,
  }
}

/** `tracestate` is a header of the client, with any content. */
function withoutState({ traceState: _, ...context }: SpanContext): SpanContext {
  return context
}

/** A request that was refused is no error of the server (semantic conventions for HTTP spans, "Status"). */
function statusOf({ kind, status, attributes }: ReadableSpan): SpanStatus {
  const httpStatus = attributes['http.response.status_code']
  const isRefused = kind === SpanKind.SERVER && typeof httpStatus === 'number' && httpStatus < 500
  return { code: isRefused ? SpanStatusCode.UNSET : status.code }
}
