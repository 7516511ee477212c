import type { HttpClient } from './http-client.ts'

/** One server-sent event. */
export type StreamedEvent = { id: string; event: string; data: unknown }

/**
 * Opens an event stream, as an EventSource does.
 *
 * @param client whose cookie is sent
 * @param lastEventId where it left off, if anywhere
 * @param apiKey to come with
 * @returns the response; `next()`, which gives one event, or undefined at the end; and `leave()`
 */
export async function openEventStream(url: URL, client: HttpClient, lastEventId?: string, apiKey?: string) {
  const leave = new AbortController()
  const response = await fetch(url, {
    headers: {
      cookie: client.cookie ?? '',
      ...(lastEventId && { 'last-event-id': lastEventId }),
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
    },
    signal: leave.signal,
  })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    response,
    leave: () => leave.abort(),
    async next(): Promise<StreamedEvent | undefined> {
      for (;;) {
        const end = text.indexOf('\n\n')
        if (end < 0) {
          const read = await reader?.read()
          if (!read?.value) return undefined
          text += read.value
          continue
        }
        const [idLine = '', eventLine = '', dataLine = ''] = text.slice(0, end).split('\n')
        text = text.slice(end + 2)
        if (!idLine.startsWith('id: ')) continue
        return {
          id: idLine.slice('id: '.length),
          event: eventLine.slice('event: '.length),
          data: JSON.parse(dataLine.slice('data: '.length)),
        }
      }
    },
  }
}
