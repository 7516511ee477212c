import { connect } from 'node:net'

/** Asks for one session's `/session` over and over on each of some connections, as fast as it is answered. */
export async function askSessions(options: { port: number; connections: number; requests: number }) {
  const { port, connections } = options
  const each = Math.ceil(options.requests / connections)
  await Promise.all(Array.from({ length: connections }, () => askOne(port, each)))
  return each * connections
}

/** Sent and read by hand: Node's own client costs more than the servers that are measured. */
async function askOne(port: number, count: number): Promise<void> {
  const { headers } = await fetch(`http://127.0.0.1:${port}/session`)
  const cookie = headers.getSetCookie()[0]?.split(';')[0]
  const asked = Buffer.from(`GET /session HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`)
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    let answered = 0
    let missing = 0
    socket.on('error', reject)
    socket.on('connect', () => socket.write(asked))
    socket.on('data', (chunk) => {
      if (missing === 0) {
        const answer = chunk.toString('latin1')
        const length = /\r\ncontent-length: (\d+)/i.exec(answer)?.[1]
        if (!answer.startsWith('HTTP/1.1 200') || !length) return reject(new Error(answer))
        missing = answer.indexOf('\r\n\r\n') + 4 + Number(length)
      }
      missing -= chunk.length
      if (missing > 0) return
      answered++
      if (answered < count) socket.write(asked)
      else socket.end(resolve)
    })
  })
}
