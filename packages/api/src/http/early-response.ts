import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** How long the rest of a refused body is read and thrown away at most, in ms. */
const lingerMs = 5_000

/**
 * Answers that come before the request's body has been read to its end close the connection. Closing it with
 * unread bytes at once would reset it, which can take the answer with it (RFC 9112, 9.6): so the answer is
 * sent, and the connection stays open while the client still sends, for a few seconds.
 */
export function allowEarlyResponse(api: FastifyInstance): void {
  api.addHook('onSend', async (request, reply, payload: unknown) => {
    if (request.raw.complete || request.raw.destroyed || typeof payload !== 'string') return payload
    reply.header('connection', 'close')
    // An answer without a body is only sent once it is over.
    if (request.method === 'HEAD') return payload
    reply.header('content-length', Buffer.byteLength(payload))
    return Readable.from(lingering(request.raw, payload), { objectMode: false })
  })
}

async function* lingering(body: Readable, answer: string) {
  yield Buffer.from(answer)
  body.unpipe()
  body.resume()
  const signal = AbortSignal.timeout(lingerMs)
  await once(body, 'close', { signal }).catch(() => undefined)
}
