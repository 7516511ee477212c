import { once } from 'node:events'
import { connect } from 'node:net'

export type RawConnection = Awaited<ReturnType<typeof openConnection>>

/** Opens a connection on which a test sends exactly the bytes it chooses, in any order and as slowly as it likes. */
export async function openConnection(port: number) {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  // A reset also closes the connection, and `closed` waits for that.
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
    /** Sends bytes and waits until the system has taken all of them, or until the connection is closed. */
    sendAll: (bytes: string | Uint8Array) =>
      Promise.race([new Promise<void>((resolve) => socket.write(bytes, () => resolve())), closed]),
    /** Closes the sending side. */
    end: () => socket.end(),
    destroy: () => socket.destroy(),
    /** All bytes received, after the other side has closed. */
    closed,
    isOpen: () => !socket.destroyed,
    /** Waits until the received bytes contain this text. */
    until: (text: string) => when((received) => received.includes(text)),
    /** Waits until the received bytes are enough, or until the other side has closed. */
    when,
  }
}
