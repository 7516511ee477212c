import { connect } from 'node:net'

/** Asks for one session's `/session` over and over on each of some connections, as fast as it is answered. */
export async function requestSessions(options: { port: number; connections: number; requests: number }) {
  const { port, connections } = options
  const each = Math.ceil(options.requests / connections)
  await Promise.all(Array.from({ length: connections }, () => askOne(port, each)))
  return each * connections
}

/**
 * Sent and read by hand, into one buffer: Node's own client costs more than the servers that are measured, and a
 * server that waits for its clients has fewer requests to share a turn of its event loop.
 */
async function askOne(port: number, count: number): Promise<void> {
  const { headers } = await fetch(`http://127.0.0.1:${port}/session`)
  const cookie = headers.getSetCookie()[0]?.split(';')[0]
  const asked = Buffer.from(`GET /session HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`)
  return new Promise((resolve, reject) => {
    let answered = 0
    let missing = 0

    function read(length: number, buffer: Uint8Array): boolean {
      if (missing === 0) {
        const start = Buffer.from(buffer.buffer, buffer.byteOffset, length)
        const whole = lengthOfAnswer(start)
        if (whole === undefined) {
          socket.destroy(new Error(start.toString()))
          return false
        }
        missing = whole
      }
      missing -= length
      if (missing > 0) return true
      answered++
      if (answered < count) socket.write(asked)
      else socket.end(resolve)
      return true
    }

    const onread = { buffer: Buffer.alloc(16 * 1024), callback: read }
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    socket.on('error', reject)
    socket.on('connect', () => socket.write(asked))
  })
}

/** @returns bytes, of headers and body; undefined where the answer is no success */
function lengthOfAnswer(start: Buffer): number | undefined {
  const answer = start.toString('latin1')
  const length = /\r\ncontent-length: (\d+)/i.exec(answer)?.[1]
  if (!answer.startsWith('HTTP/1.1 200') || !length) return undefined
  return answer.indexOf('\r\n\r\n') + 4 + Number(length)
}
