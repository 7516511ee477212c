import { Readable } from 'node:stream'
import { type BudgetHolder, type BudgetLimits, createBudget } from '@millrace/shared/network/budget.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply } from 'fastify'

/** One event. A client that reconnects sends the last `id` as `Last-Event-ID`. An event without one does not change it. */
export type ServerSentEvent = { id?: string; event: string; data: unknown }

/** Who opened a stream, and until when it may stay open. */
export type StreamOpener = {
  holder: BudgetHolder
  /** When the opener's identity ends by itself, in ms since 1970; undefined: never. */
  endsAtMs?: number | undefined
  /** Whether the opener's identity was ended, for example by a logout. */
  hasEnded(): Promise<boolean>
}

/** Time that a client waits before it reconnects, in ms. Sent first, so that the headers are sent immediately. */
const reconnectMs = 2000
const start = `retry: ${reconnectMs}\n\n`

/** Time between two comments, in ms. Proxies and load balancers close connections that are idle for a minute. */
export const heartbeatMs = 20_000
const heartbeat = ': still here\n\n'
/**
 * Parts of the time between two heartbeats. Each part has its own streams, because writing to all streams at once would
 * block the event loop.
 */
const beatsPerHeartbeat = 20

/** Time in which the system must take some of the bytes that were written to a stream, in ms. */
const stalledMs = 60_000

/**
 * Maximum age of a stream, in ms. The client reconnects and continues after its last event. A client that does not read is
 * alive to TCP, and heartbeats are too small to fill the system's buffers: its stream would stay open for ever.
 */
const maxAgeMs = 60 * 60 * 1000

/**
 * Bytes of events that wait for the system to take them. A stream has one such event at a time. The largest is a snapshot
 * of 50 uploads, which must fit into the limit of an owner.
 */
const unsentBytes: BudgetLimits = {
  instance: 64 * 1024 * 1024,
  owner: 4 * 1024 * 1024,
  address: 8 * 1024 * 1024,
}

type Stream = {
  opener: StreamOpener
  endsAtMs: number
  /** Sends a comment, unless bytes before it still wait. */
  beat(): void
  /** Ends the stream after what was written, or at once if the client does not take it. */
  end(): void
}

/**
 * Creates the server-sent events (HTML Living Standard, "Server-sent events") of this instance. All streams share the
 * budget of the instance and one timer, which sends a comment to each stream periodically, so that no connection is idle.
 *
 * @param deps.limits open streams of the instance, of an owner and of an address
 * @param deps.closing aborts when the instance shuts down: all streams end, and clients reconnect to another instance
 * @param deps.heartbeatMs time between two comments to a stream, in ms; with each, the opener's identity is checked
 * @param deps.stalledMs time after which a stream whose bytes are not taken is closed, in ms
 * @param deps.maxAgeMs age at which a stream ends, in ms
 */
export function createEventStreams(deps: {
  limits: BudgetLimits
  closing: AbortSignal
  heartbeatMs?: number
  stalledMs?: number
  maxAgeMs?: number
}) {
  const { closing } = deps
  const settings = { heartbeatMs, stalledMs, maxAgeMs, ...deps }
  const budget = createBudget({ unit: 'event streams', code: 'too_many_streams', limits: deps.limits })
  const unsent = createBudget({
    unit: 'unsent bytes of events',
    code: 'too_many_streams',
    limits: unsentBytes,
  })
  const slots = Array.from({ length: beatsPerHeartbeat }, () => new Set<Stream>())
  let beat = 0

  const timer = setInterval(() => {
    beat = (beat + 1) % slots.length
    const nowMs = Date.now()
    for (const slot of slots) for (const stream of slot) if (nowMs >= stream.endsAtMs) stream.end()
    for (const stream of slots[beat] ?? []) {
      stream.beat()
      void endIfEnded(stream)
    }
  }, settings.heartbeatMs / beatsPerHeartbeat).unref()
  closing.addEventListener('abort', () => {
    clearInterval(timer)
    for (const slot of slots) for (const stream of slot) stream.end()
  })

  /** If it cannot be asked now, it is asked again with the next heartbeat. */
  async function endIfEnded(stream: Stream): Promise<void> {
    if (await stream.opener.hasEnded().catch(() => false)) stream.end()
  }

  return {
    /**
     * Responds with a stream of events. The response ends when the events end, when the opener's identity ends, when the
     * client does not take what is written, and at the maximum age. A `HEAD` request takes no share of the budget.
     *
     * @param open creates the events; its signal aborts when the stream ends
     * @throws AppError `too_many_streams` or `overloaded` if the budget has no room for another stream
     */
    send(
      reply: FastifyReply,
      opener: StreamOpener,
      open: (signal: AbortSignal) => AsyncIterable<ServerSentEvent>,
    ): FastifyReply {
      if (closing.aborted) throw new AppError('draining')
      const response = reply.raw
      const isHead = reply.request.method === 'HEAD'
      const share = isHead || response.destroyed ? undefined : budget.take(opener.holder)
      reply
        .header('content-type', 'text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        // Without keep-alive, because an idle connection would delay the shutdown of the instance.
        .header('connection', 'close')
      // HEAD has no body, and a client that has disconnected needs none: nothing would ever close its stream.
      if (!share) return reply.send()

      const ended = new AbortController()
      let unsentShare: ReturnType<typeof unsent.take> | undefined
      let written: (() => void) | undefined
      // Fastify sends the headers when it pipes this body into the response, and ends the response with it. The events
      // are written to the response itself, because only a callback of its own tells when the system took their bytes.
      const body = new Readable({ read() {} })
      const slot = slots[beat] ?? new Set()
      const stream: Stream = {
        opener,
        endsAtMs: Math.min(
          Date.now() + settings.maxAgeMs * randomShare(),
          opener.endsAtMs ?? Number.POSITIVE_INFINITY,
        ),
        beat() {
          if (response.writableLength === 0) response.write(heartbeat)
        },
        end() {
          if (response.writableLength > 0) response.destroy()
          else body.push(null)
          close()
        },
      }
      slot.add(stream)
      response.once('close', close)
      response.once('pipe', () => void sendAll())
      return reply.send(body)

      function close(): void {
        if (!slot.delete(stream)) return
        share?.release()
        unsentShare?.release()
        ended.abort()
        written?.()
      }

      async function sendAll(): Promise<void> {
        // Progress within a large write counts as well; heartbeats are written only if nothing waits.
        response.setTimeout(settings.stalledMs)
        response.write(start)
        try {
          for await (const { id, event, data } of open(ended.signal)) {
            const idLine = id === undefined ? '' : `id: ${id}\n`
            await write(`${idLine}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
            if (ended.signal.aborted) return
          }
          body.push(null)
          close()
        } catch (error) {
          if (ended.signal.aborted) return
          close()
          reply.log.error({ err: error }, 'event stream failed')
          body.destroy(error instanceof Error ? error : new Error(String(error)))
        }
      }

      /** Writes an event, or ends the stream if there is no room for it. Resolves when the system has taken its bytes. */
      async function write(event: string): Promise<void> {
        try {
          unsentShare = unsent.take(opener.holder, Buffer.byteLength(event))
        } catch (error) {
          if (!(error instanceof AppError)) throw error
          reply.log.info(
            { code: error.code, limit: error.limit },
            'event stream ended: too many unsent bytes',
          )
          return stream.end()
        }
        await new Promise<void>((resolve) => {
          written = resolve
          response.write(event, () => resolve())
        })
        unsentShare.release()
      }
    },

    /**
     * Ends the streams whose identity was ended.
     * @param owner only its streams; undefined: all, since an API key may have acted for any of its tenant's users
     */
    check(owner?: string): void {
      for (const slot of slots) {
        for (const stream of slot) {
          if (owner === undefined || stream.opener.holder.owner === owner) void endIfEnded(stream)
        }
      }
    },
  }
}

export type EventStreams = ReturnType<typeof createEventStreams>

/** A random number from 0.8 to 1: clients that connected together do not reconnect together for ever. */
function randomShare(): number {
  return 0.8 + Math.random() * 0.2
}
