import { EventEmitter, on, once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { WebhookContent } from '@millrace/shared/webhooks/delivery-log.ts'
import { Compile } from 'typebox/compile'

const content = Compile(WebhookContent)

/** A request of a webhook. */
export type ReceivedRequest = { headers: IncomingHttpHeaders; body: string; content: WebhookContent }

export type Receiver = Awaited<ReturnType<typeof startReceiver>>

/** Starts a receiver of webhooks on 127.0.0.1. It answers 204 unless `respond` says otherwise. */
export async function startReceiver(
  respond: (request: ReceivedRequest, response: ServerResponse, index: number) => void = (_, response) =>
    void response.writeHead(204).end(),
) {
  const seen: ReceivedRequest[] = []
  const arrivals = new EventEmitter()
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const received = { headers: request.headers, body, content: content.Parse(JSON.parse(body)) }
    seen.push(received)
    respond(received, response, seen.length - 1)
    arrivals.emit('request')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The receiver has no port.')
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}/hook`,
    seen,
    /** The types of the events that came, in their order. */
    types: () => seen.map(({ content: { type } }) => type.replace('upload.', '')),
    /** Waits until so many requests have come, and returns the last of them. */
    async received(count: number): Promise<ReceivedRequest> {
      for await (const _ of withNow(arrivals)) if (seen.length >= count) break
      const last = seen[count - 1]
      if (!last) throw new Error('There is no such request.')
      return last
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Yields at once, and then with each request. */
async function* withNow(arrivals: EventEmitter) {
  const events = on(arrivals, 'request')
  try {
    yield
    yield* events
  } finally {
    await events.return?.()
  }
}
