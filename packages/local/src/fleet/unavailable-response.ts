import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { errorCatalogue } from '@millrace/shared/service/app-error.ts'

/** Maximum time in which the rest of a request is read and discarded, in ms. The API uses the same time. */
const lingerMs = 5_000
/** A restarted instance needs about this time. In seconds. */
const retryAfterSeconds = 1

/**
 * Responds 503 with a problem (RFC 9457) and closes the connection. Does not parse the request: the response is the
 * same for every method, also for a client that waits for `100 Continue`, and no further request is served.
 *
 * Closing with unread bytes resets the connection and can lose the response (RFC 9112, 9.6). So only the sending side
 * is closed at first. The rest of the request is read until the client closes its side, but for 5 s at most.
 *
 * @param client a connection on which a request has begun and no byte of a response was sent
 * @param detail what is wrong, in one sentence
 */
export function respondUnavailable(client: Socket, detail: string): void {
  if (client.destroyed) return
  const timer = setTimeout(() => client.destroy(), lingerMs)
  client.once('close', () => clearTimeout(timer))
  client.unpipe()
  client.resume()
  client.end(unavailable(detail))
}

function unavailable(detail: string): string {
  const code = 'dependency_unavailable'
  const body = JSON.stringify({
    type: `urn:millrace:problem:${code}`,
    title: errorCatalogue[code].message,
    status: 503,
    detail,
    message: detail,
    code,
    requestId: randomUUID(),
  })
  const head = [
    'HTTP/1.1 503 Service Unavailable',
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'x-content-type-options: nosniff',
    `retry-after: ${retryAfterSeconds}`,
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
