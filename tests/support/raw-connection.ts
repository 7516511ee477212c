import { once } from 'node:events'
import { connect } from 'node:net'

export type RawConnection = Awaited<ReturnType<typeof openConnection>>

/** A connection on which a test says exactly what it wants, in whatever order and however slowly. */
export async function openConnection(port: number) {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  // A connection that is reset is closed, which is what is waited for.
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (text: string) => {
    received += text
  })
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)))
  await once(socket, 'connect')
  const when = async (isEnough: (received: string) => boolean): Promise<string> => {
    while (!isEnough(received) && !socket.destroyed) await Promise.race([once(socket, 'data'), closed])
    return received
  }
  return {
    send: (bytes: string | Uint8Array) => socket.write(bytes),
    /** Sends no more. */
    end: () => socket.end(),
    destroy: () => socket.destroy(),
    /** All that came back, once the other side has closed. */
    closed,
    isOpen: () => !socket.destroyed,
    /** Waits until what came back has this in it. */
    until: (text: string) => when((received) => received.includes(text)),
    /** Waits until what came back is enough, or until the other side has closed. */
    when,
  }
}
