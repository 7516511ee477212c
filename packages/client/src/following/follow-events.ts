import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { delay, retry } from '../api/retry.ts'

/** Default delay before a stream that ended is opened again, in ms. The API can send another one (`retry:`). */
const reconnectDelayMs = 2_000

/**
 * Time without bytes after which a connection is given up, in ms. The API sends a comment every 20 s, so a connection with
 * less is broken, even if nothing has told so: for example after a change of the network.
 */
const idleTimeoutMs = 65_000

/**
 * Follows a stream of server-sent events (HTML Living Standard, "Server-sent events"), and opens it again whenever it ends:
 * without a limit on attempts, until the signal aborts.
 *
 * @param options.open requests the stream. `lastEventId` is the id of the last event that had one: the stream continues
 *   after it. Returns undefined if there will be no further events
 * @param options.idleTimeoutMs replaces the timeout of an idle connection, in ms
 * @returns the events, until `open` returns undefined
 * @throws what `open` throws, if it is not retryable; the signal's reason if it aborts
 */
export async function* followEvents(options: {
  open: (lastEventId: string | undefined) => Promise<ReadableStream<Uint8Array> | undefined>
  signal: AbortSignal
  idleTimeoutMs?: number
}): AsyncGenerator<EventSourceMessage> {
  const { open, signal } = options
  const timeoutMs = options.idleTimeoutMs ?? idleTimeoutMs
  let lastEventId: string | undefined
  let delayMs = reconnectDelayMs
  for (;;) {
    const stream = await retry(() => open(lastEventId), { signal, attempts: Number.POSITIVE_INFINITY })
    if (!stream) return
    const events: EventSourceMessage[] = []
    const parser = createParser({
      onEvent: (event) => events.push(event),
      onRetry: (ms) => {
        delayMs = ms
      },
    })
    const decoder = new TextDecoder()
    for await (const bytes of readUntilIdle(stream, timeoutMs)) {
      parser.feed(decoder.decode(bytes, { stream: true }))
      for (const event of events.splice(0)) {
        yield event
        // After its handling: an event during which the caller stopped was not received.
        lastEventId = event.id ?? lastEventId
      }
    }
    await delay(delayMs, signal)
  }
}

/** A lost connection is treated as the end of the stream: the next one continues after the last event. */
const endOfStream = { done: true, value: undefined } as const

/** Reads a stream until it ends or is idle for too long. Leaving the loop closes the connection. */
async function* readUntilIdle(
  stream: ReadableStream<Uint8Array>,
  timeoutMs: number,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    for (;;) {
      const idle = new Promise<typeof endOfStream>((resolve) => {
        timer = setTimeout(() => resolve(endOfStream), timeoutMs)
      })
      const { done, value } = await Promise.race([reader.read().catch(() => endOfStream), idle])
      clearTimeout(timer)
      if (done) return
      yield value
    }
  } finally {
    clearTimeout(timer)
    await reader.cancel().catch(() => endOfStream)
  }
}
