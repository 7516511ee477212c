import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** One event. A client that reconnects sends the last `id` as `Last-Event-ID`. */
export type ServerSentEvent = { id: string; event: string; data: unknown }

/**
 * Time that a client waits before it reconnects, in ms. Sent first, so that the headers are sent immediately.
 */
const reconnectMs = 2000

/**
 * Time between two comments, in ms. Proxies and load balancers close connections that are idle for a minute.
 */
export const heartbeatMs = 20_000

/**
 * Maximum number of unsent bytes. A slower client is disconnected; it reconnects and continues after its last
 * event.
 */
const maxUnsentBytes = 4 * 1024 * 1024

/**
 * Responds with a stream of server-sent events (HTML Living Standard, "Server-sent events"). Sends a comment
 * periodically, so that the connection is not idle. The response ends when the events end, and the other way
 * round.
 *
 * @param open creates the events; its signal aborts when the client disconnects
 * @param closing aborts when the instance shuts down; clients then reconnect to another instance
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
    // Without keep-alive, because an idle connection would delay the shutdown of the instance.
    .header('connection', 'close')
  // HEAD has no body: nothing would ever close its stream.
  if (reply.request.method === 'HEAD') return reply.send()
  const disconnected = new AbortController()
  const signal = AbortSignal.any([disconnected.signal, closing])
  const body = new Readable({ read() {} })
  body.push(`retry: ${reconnectMs}\n\n`)
  const heartbeat = setInterval(() => body.push(': still here\n\n'), heartbeatMs)
  body.once('close', () => {
    clearInterval(heartbeat)
    disconnected.abort()
  })
  void write()
  return reply.send(body)

  async function write(): Promise<void> {
    try {
      for await (const { id, event, data } of open(signal)) {
        if (body.readableLength > maxUnsentBytes) break
        body.push(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
      }
      body.push(null)
    } catch (error) {
      if (signal.aborted) {
        body.push(null)
      } else {
        reply.log.error({ err: error }, 'event stream failed')
        body.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }
}
