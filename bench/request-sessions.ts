import { connect } from 'node:net'

/** Sends `GET /session` repeatedly over several connections, each with its own session. @returns the request count */
export async function requestSessions(options: { port: number; connections: number; requests: number }) {
  const { port, connections } = options
  const perConnection = Math.ceil(options.requests / connections)
  await Promise.all(Array.from({ length: connections }, () => useConnection(port, perConnection)))
  return perConnection * connections
}

/**
 * Sends the requests of one connection one after another.
 *
 * It writes and parses HTTP itself, into one buffer. Node's own client uses more CPU than the measured servers, and
 * a server that waits for its clients handles fewer requests per event-loop tick.
 */
async function useConnection(port: number, count: number): Promise<void> {
  const { headers } = await fetch(`http://127.0.0.1:${port}/session`)
  const cookie = headers.getSetCookie()[0]?.split(';')[0]
  const request = Buffer.from(`GET /session HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`)
  return new Promise((resolve, reject) => {
    let received = 0
    let missingBytes = 0

    function read(length: number, buffer: Uint8Array): boolean {
      if (missingBytes === 0) {
        const start = Buffer.from(buffer.buffer, buffer.byteOffset, length)
        const responseLength = lengthOfResponse(start)
        if (responseLength === undefined) {
          socket.destroy(new Error(start.toString()))
          return false
        }
        missingBytes = responseLength
      }
      missingBytes -= length
      if (missingBytes > 0) return true
      received++
      if (received < count) socket.write(request)
      else socket.end(resolve)
      return true
    }

    const onread = { buffer: Buffer.alloc(16 * 1024), callback: read }
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    socket.on('error', reject)
    socket.on('connect', () => socket.write(request))
  })
}

/** Returns the bytes of headers and body; undefined if the response is not a success. */
function lengthOfResponse(start: Buffer): number | undefined {
  const response = start.toString('latin1')
  const length = /\r\ncontent-length: (\d+)/i.exec(response)?.[1]
  if (!response.startsWith('HTTP/1.1 200') || !length) return undefined
  return response.indexOf('\r\n\r\n') + 4 + Number(length)
}
