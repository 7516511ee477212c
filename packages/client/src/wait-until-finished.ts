import { EventSourceParserStream } from 'eventsource-parser/stream'
import type { Client } from 'openapi-fetch'
import type { paths } from './api-types.ts'
import { dataOf } from './millrace-error.ts'
import { pause, retry } from './retry.ts'
import type { Upload } from './upload.ts'

/** Before a stream that broke off is opened once more, in ms, unless the API says otherwise. */
const reopenMs = 2_000

/** Follows uploads by their server-sent events, over whatever breaks in between. */
export function createWaitUntilFinished({ api }: { api: Client<paths> }) {
  /**
   * @param options.onChange gets the upload as it is, then each change
   * Without a connection it waits for one, until the signal aborts.
   *
   * @returns the upload once it is `ready`, `rejected` or `failed`
   * @throws ApiProblem where the API refuses; the signal's reason where it aborts
   */
  return async function waitUntilFinished(
    id: string,
    options: { signal?: AbortSignal; onChange?: (upload: Upload) => void } = {},
  ): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    let lastEventId: string | undefined
    let waitMs = reopenMs
    for (;;) {
      const finished = await follow()
      if (finished) return finished
      await pause(waitMs, signal)
    }

    async function follow(): Promise<Upload | undefined> {
      const stream = await retry(() => open(), { signal, tries: Number.POSITIVE_INFINITY })
      // The end was seen before.
      if (!stream) return dataOf(await api.GET('/uploads/{id}', { params: { path: { id } }, signal }))
      const events = stream
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream({ onRetry: (ms) => (waitMs = ms) }))
      for await (const { event, data, id: eventId } of readAll(events)) {
        if (event !== 'upload') continue
        lastEventId = eventId ?? lastEventId
        const upload: Upload = JSON.parse(data)
        options.onChange?.(upload)
        if (isFinished(upload)) return upload
      }
      return undefined
    }

    async function open() {
      const answer = await api.GET('/uploads/{id}/events', {
        params: {
          path: { id },
          header: { ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
        },
        parseAs: 'stream',
        signal,
      })
      if (answer.response.status === 204) return undefined
      if (!answer.response.ok) dataOf(answer)
      return answer.response.body
    }
  }
}

export function isFinished({ state }: Upload): boolean {
  return state === 'ready' || state === 'rejected' || state === 'failed'
}

/** A connection that is lost is the end of a stream like any other: the next one begins with a snapshot. */
const brokenOff = { done: true, value: undefined } as const

/** Browsers do not all iterate streams. Leaving the loop closes the connection. */
async function* readAll<Chunk>(stream: ReadableStream<Chunk>): AsyncGenerator<Chunk> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => brokenOff)
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => brokenOff)
  }
}
