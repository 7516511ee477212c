import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** One event: `id` comes back as `Last-Event-ID` when the client reconnects. */
export type ServerSentEvent = { id: string; event: string; data: unknown }

/** How long a client waits before it reconnects, in ms. Sent at once, so that it gets the headers at once. */
const reconnectMs = 2000

/** Proxies and load balancers close connections that are silent for a minute. */
export const heartbeatMs = 20_000

/** A client that reads so slowly is cut off, in bytes; it reconnects and goes on where it was. */
const patienceBytes = 4 * 1024 * 1024

/**
 * Answers with a stream of events (HTML Living Standard, "Server-sent events"), with a comment now and then
 * where there is nothing to say. The response ends with the events; the events end with the response.
 *
 * @param open makes the events; its signal is aborted when the client leaves
 * @param closing is aborted when the instance shuts down: clients then reconnect elsewhere
 */
export function sendEvents(
  reply: FastifyReply,
  open: (signal: AbortSignal) => AsyncIterable<ServerSentEvent>,
  closing: AbortSignal,
) {
  reply
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    // A stream that ended leaves no idle connection, which would hold up an instance that is closing.
    .header('connection', 'close')
  // Nobody would ever close a stream that is opened for its headers alone.
  if (reply.request.method === 'HEAD') return reply.send()
  const left = new AbortController()
  const signal = AbortSignal.any([left.signal, closing])
  const body = new Readable({ read() {} })
  body.push(`retry: ${reconnectMs}\n\n`)
  const heartbeat = setInterval(() => body.push(': still here\n\n'), heartbeatMs)
  body.once('close', () => {
    clearInterval(heartbeat)
    left.abort()
  })
  void write()
  return reply.send(body)

  async function write(): Promise<void> {
    try {
      for await (const { id, event, data } of open(signal)) {
        if (body.readableLength > patienceBytes) break
        body.push(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
      }
      body.push(null)
    } catch (error) {
      if (signal.aborted) {
        body.push(null)
      } else {
        reply.log.error({ err: error }, 'event stream broke')
        body.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }
}
