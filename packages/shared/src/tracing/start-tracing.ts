import {
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  propagation,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { BullMQOtel } from 'bullmq-otel'
import { AppError } from '../service/app-error.ts'
import { withDeadline } from '../service/deadline.ts'
import { createSeldomWarning } from '../service/seldom-warning.ts'
import { createSpanFilter } from './exported-span.ts'
import { isTraceparent, traceIdOf } from './traceparent.ts'
import { type ActiveSpan, type ProcessTracing, type SpanOptions, unrecorded } from './tracing.ts'
import type { TracingSettings } from './tracing-variables.ts'

/** What identifies this process in traces. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence. */
export type ProcessIdentity = { service: string; version: string; instance: string }

/** How long the last export may take while the process shuts down, in ms. */
const lastExportMs = 1_500

/** The trace that was active before `within` changed to that of the upload. */
const leftKey = createContextKey('millrace: the trace that was left')

/**
 * Starts OpenTelemetry in this process: spans are exported in batches over OTLP/HTTP, by the settings that its SDK reads from
 * the environment. Spans that cannot be exported are dropped: 2,048 at most wait in memory (`OTEL_BSP_MAX_QUEUE_SIZE`).
 *
 * It registers OpenTelemetry's global providers, which the libraries for BullMQ and Fastify use. So a process calls it once,
 * from `main.ts`.
 */
export async function startTracing(
  settings: TracingSettings,
  { service, version, instance }: ProcessIdentity,
): Promise<ProcessTracing> {
  const filter = createSpanFilter(new BatchSpanProcessor(await createExporter(settings)))
  const resource = resourceFromAttributes({
    'service.name': service,
    'service.version': version,
    'service.instance.id': instance,
  }).merge(detectResources({ detectors: [envDetector] }))
  const provider = new BasicTracerProvider({ resource, spanProcessors: [filter] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  const tracer = provider.getTracer('millrace', version)

  async function span<Result>(
    name: string,
    work: (span: ActiveSpan) => Result | Promise<Result>,
    { kind = 'internal', attributes = {}, startedAtMs, isAnswer }: SpanOptions = {},
  ): Promise<Result> {
    const parent = context.active()
    const active = trace.getSpanContext(parent)
    if (!active) return work(unrecorded)
    const left = leftTrace(parent)
    const started = tracer.startSpan(
      name,
      {
        kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL,
        attributes,
        ...(startedAtMs !== undefined && { startTime: startedAtMs }),
        ...(left && { links: [{ context: left }] }),
      },
      parent,
    )
    try {
      return await context.with(trace.setSpan(parent.deleteValue(leftKey), started), () =>
        work(activeSpan(started)),
      )
    } catch (error) {
      if (!isAnswer?.(error)) activeSpan(started).fail(errorType(error))
      throw error
    } finally {
      started.end()
    }
  }

  return {
    isOn: true,
    span,
    within(traceparent, work) {
      const active = context.active()
      if (!isTraceparent(traceparent)) return work()
      const left = trace.getSpanContext(active)
      if (left?.traceId === traceIdOf(traceparent)) return work()
      const upload = propagation.extract(active, { traceparent })
      return context.with(left ? upload.setValue(leftKey, left) : upload, work)
    },
    traceparent: () => traceparentOf(trace.getSpanContext(context.active())),
    traceId: () => trace.getSpanContext(context.active())?.traceId,
    telemetry: new BullMQOtel({ tracerName: 'bullmq', version }),
    reportTo(log) {
      const warn = createSeldomWarning({ log })
      setGlobalErrorHandler((error) => warn('traces-not-exported', error, 'traces were not exported'))
    },
    async close() {
      // Whatever becomes of the last spans, the service has done its work.
      await withDeadline('The last export of traces', lastExportMs, () => provider.shutdown()).catch(
        () => undefined,
      )
    },
  }
}

/** Returns a span as a `traceparent` (W3C Trace Context, version 00). */
export function traceparentOf(span: SpanContext | undefined): string | undefined {
  if (!span || !isSpanContextValid(span)) return undefined
  const flags = span.traceFlags.toString(16).padStart(2, '0')
  return `00-${span.traceId}-${span.spanId}-${flags}`
}

/** An error's name or code. Its message may contain user data. */
export function errorType(error: unknown): string {
  if (error instanceof AppError) return error.code
  return error instanceof Error ? error.name : typeof error
}

/** The SDK of one protocol is loaded. It reads endpoint, headers, timeouts and certificates from the environment. */
async function createExporter({ protocol }: TracingSettings) {
  const { OTLPTraceExporter } = await (protocol === 'http/json'
    ? import('@opentelemetry/exporter-trace-otlp-http')
    : import('@opentelemetry/exporter-trace-otlp-proto'))
  return new OTLPTraceExporter()
}

function activeSpan(span: Span): ActiveSpan {
  return {
    set: (attributes) => void span.setAttributes(attributes),
    fail: (type) => void span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR }),
  }
}

function leftTrace(active: Context): SpanContext | undefined {
  const left: unknown = active.getValue(leftKey)
  return isSpanContext(left) ? left : undefined
}

function isSpanContext(value: unknown): value is SpanContext {
  return typeof value === 'object' && value !== null && 'traceId' in value && 'spanId' in value
}
