import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** Maximum time in which the rest of a refused body is read and discarded, in ms. */
const lingerMs = 5_000

/**
 * Allows responses before the request's body was read completely. Such a response closes the connection.
 * Closing with unread bytes resets the connection and can lose the response (RFC 9112, 9.6). So the response
 * is sent first, and the connection stays open for a few seconds while the client still sends.
 */
export function allowEarlyResponse(api: FastifyInstance): void {
  api.addHook('onSend', async (request, reply, payload: unknown) => {
    if (request.raw.complete || request.raw.destroyed || typeof payload !== 'string') return payload
    reply.header('connection', 'close')
    // A response without a body is sent only when it ends, so it must not wait.
    if (request.method === 'HEAD') return payload
    reply.header('content-length', Buffer.byteLength(payload))
    return Readable.from(lingering(request.raw, payload), { objectMode: false })
  })
}

async function* lingering(body: Readable, payload: string) {
  yield Buffer.from(payload)
  body.unpipe()
  body.resume()
  const signal = AbortSignal.timeout(lingerMs)
  await once(body, 'close', { signal }).catch(() => undefined)
}
