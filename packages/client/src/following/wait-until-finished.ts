import { EventSourceParserStream } from 'eventsource-parser/stream'
import type { Client } from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import { dataOf } from '../api/millrace-error.ts'
import { delay, retry } from '../api/retry.ts'
import type { Upload } from '../sending/upload.ts'

/** What a worker does with an upload: `inspecting`, `rendering` (`done` of `total` variants) or `publishing`. */
export type UploadProgress = components['schemas']['UploadProgress']

/** Default delay before a broken stream is opened again, in ms. The API can send another one (`retry:`). */
const reconnectDelayMs = 2_000

/** Creates the function that follows an upload over server-sent events, and reconnects after failures. */
export function createWaitUntilFinished({ api }: { api: Client<paths> }) {
  /**
   * Waits until an upload is finished. Reconnects without a limit on attempts, until the signal aborts.
   *
   * @param options.onChange called with the current upload, then with each change
   * @param options.onProgress called with some of the steps while the upload is processed; not at all if that takes only
   *   a moment
   * @returns the upload once it is `ready`, `rejected` or `failed`
   * @throws ApiProblem if the API returns an error that is not retryable; the signal's reason if it aborts
   */
  return async function waitUntilFinished(
    id: string,
    options: {
      signal?: AbortSignal
      onChange?: (upload: Upload) => void
      onProgress?: (progress: UploadProgress) => void
    } = {},
  ): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    let lastEventId: string | undefined
    let delayMs = reconnectDelayMs
    for (;;) {
      const finished = await follow()
      if (finished) return finished
      await delay(delayMs, signal)
    }

    async function follow(): Promise<Upload | undefined> {
      const stream = await retry(() => open(), { signal, attempts: Number.POSITIVE_INFINITY })
      // 204: the stream has ended before, at this Last-Event-ID. The upload is finished.
      if (!stream) return dataOf(await api.GET('/uploads/{id}', { params: { path: { id } }, signal }))
      const events = stream
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream({ onRetry: (ms) => (delayMs = ms) }))
      for await (const { event, data, id: eventId } of readAll(events)) {
        if (event === 'progress') options.onProgress?.(JSON.parse(data))
        if (event !== 'upload') continue
        lastEventId = eventId ?? lastEventId
        const upload: Upload = JSON.parse(data)
        options.onChange?.(upload)
        if (isFinished(upload)) return upload
      }
      return undefined
    }

    async function open() {
      const result = await api.GET('/uploads/{id}/events', {
        params: {
          path: { id },
          header: { ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
        },
        parseAs: 'stream',
        signal,
      })
      if (result.response.status === 204) return undefined
      if (!result.response.ok) dataOf(result)
      return result.response.body
    }
  }
}

/** Returns whether the state of an upload is final. */
export function isFinished({ state }: Upload): boolean {
  return state === 'ready' || state === 'rejected' || state === 'failed'
}

/** A lost connection is treated as the end of the stream: the next stream begins with a snapshot. */
const endOfStream = { done: true, value: undefined } as const

/** Iterates a stream, which not all browsers can do. Leaving the loop closes the connection. */
async function* readAll<Chunk>(stream: ReadableStream<Chunk>): AsyncGenerator<Chunk> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => endOfStream)
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => endOfStream)
  }
}
