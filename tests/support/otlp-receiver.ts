import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Attribute = Type.Object({
  key: Type.String(),
  value: Type.Object({
    stringValue: Type.Optional(Type.String()),
    intValue: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
  }),
})
const Span = Type.Object({
  traceId: Type.String(),
  spanId: Type.String(),
  parentSpanId: Type.Optional(Type.String()),
  name: Type.String(),
  kind: Type.Integer(),
  startTimeUnixNano: Type.String(),
  endTimeUnixNano: Type.String(),
  attributes: Type.Array(Attribute),
  events: Type.Optional(Type.Array(Type.Unknown())),
  links: Type.Optional(Type.Array(Type.Object({ traceId: Type.String(), spanId: Type.String() }))),
  status: Type.Optional(
    Type.Object({ code: Type.Optional(Type.Integer()), message: Type.Optional(Type.String()) }),
  ),
})
/** OTLP/HTTP with JSON: `ExportTraceServiceRequest` of opentelemetry-proto 1.x. */
const request = Compile(
  Type.Object({
    resourceSpans: Type.Array(
      Type.Object({
        resource: Type.Object({ attributes: Type.Array(Attribute) }),
        scopeSpans: Type.Array(Type.Object({ spans: Type.Array(Span) })),
      }),
    ),
  }),
)

/** A span that was exported, with the name of its service. */
export type ReceivedSpan = Omit<Static<typeof Span>, 'attributes'> & {
  service: string
  attributes: Record<string, string | number>
}

export type OtlpReceiver = Awaited<ReturnType<typeof startOtlpReceiver>>

/** Starts a receiver of traces over OTLP/HTTP, in JSON, on 127.0.0.1. */
export async function startOtlpReceiver() {
  const spans: ReceivedSpan[] = []
  /** Everything that came, as text. */
  const bodies: string[] = []
  const arrivals = new EventEmitter()
  let isRefusing = false
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    bodies.push(body)
    for (const { resource, scopeSpans } of request.Parse(JSON.parse(body)).resourceSpans) {
      const service = String(record(resource.attributes)['service.name'])
      for (const span of scopeSpans.flatMap((scope) => scope.spans))
        spans.push({ ...span, service, attributes: record(span.attributes) })
    }
    response.writeHead(isRefusing ? 400 : 200, { 'content-type': 'application/json' }).end('{}')
    arrivals.emit('spans')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The receiver has no port.')
  function ancestry(span: ReceivedSpan): ReceivedSpan[] {
    const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
    return parent ? [...ancestry(parent), span] : [span]
  }

  return {
    spans,
    bodies,
    /** The variables with which a service exports here, without waiting for a full batch. */
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${address.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '20',
    },
    /** Answers with an error from now on. What comes is kept all the same. */
    refuse(): void {
      isRefusing = true
    },
    /** Waits until a span matches, and returns it. */
    async until(matches: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> {
      for (;;) {
        const found = spans.find(matches)
        if (found) return found
        await once(arrivals, 'spans')
      }
    },
    /** Waits until all spans above this one have come. @param clientSpan the client's own span, which does not come */
    async untilWhole(span: ReceivedSpan, clientSpan = ''): Promise<void> {
      const isMissing = ({ parentSpanId = '' }: ReceivedSpan) =>
        parentSpanId !== '' && parentSpanId !== clientSpan
      while (isMissing(ancestry(span)[0] ?? span)) await once(arrivals, 'spans')
    },
    /** Returns the spans from the beginning of a trace to this one. */
    ancestry,
    /** Returns the spans of a trace in the order in which they began. OpenTelemetry counts that in whole milliseconds. */
    trace: (traceId: string) =>
      spans
        .filter((span) => span.traceId === traceId)
        .map((span) => ({ span, depth: ancestry(span).length }))
        .toSorted((one, other) => startMs(one.span) - startMs(other.span) || one.depth - other.depth)
        .map(({ span }) => span),
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function startMs({ startTimeUnixNano }: ReceivedSpan): number {
  return Number(BigInt(startTimeUnixNano) / 1_000_000n)
}

function record(attributes: Static<typeof Attribute>[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  )
}
