import type { HttpClient } from './http-client.ts'

/** One server-sent event. `id` is empty if the event has none. */
export type StreamedEvent = { id: string; event: string; data: unknown }

export type EventStream = Awaited<ReturnType<typeof openEventStream>>

/**
 * Opens a stream of server-sent events, as an EventSource does.
 *
 * @param client its cookie is sent
 * @param lastEventId the last event that was received, to resume after it
 * @param apiKey is sent as a bearer token
 * @param forwardedFor the address of the client, as a proxy would send it
 * @returns the response; `next()`, which returns one event, or undefined at the end; and `close()`, which
 *   closes the connection
 */
export async function openEventStream(
  url: URL,
  client: HttpClient,
  lastEventId?: string,
  apiKey?: string,
  forwardedFor?: string,
) {
  const connection = new AbortController()
  const response = await fetch(url, {
    headers: {
      cookie: client.cookie ?? '',
      ...(lastEventId && { 'last-event-id': lastEventId }),
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
      ...(forwardedFor && { 'x-forwarded-for': forwardedFor }),
    },
    signal: connection.signal,
  })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    response,
    close: () => connection.abort(),
    async next(): Promise<StreamedEvent | undefined> {
      for (;;) {
        const end = text.indexOf('\n\n')
        if (end < 0) {
          const read = await reader?.read()
          if (!read?.value) return undefined
          text += read.value
          continue
        }
        const lines = text.slice(0, end).split('\n')
        text = text.slice(end + 2)
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
        const data = field('data')
        if (data === undefined) continue
        return { id: field('id') ?? '', event: field('event') ?? '', data: JSON.parse(data) }
      }
    },
  }
}
