import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type TcpProxy = Awaited<ReturnType<typeof startTcpProxy>>

/** Delivers the bytes of a connection between a client and its server. */
type Deliver = (incoming: Socket, outgoing: Socket) => void

/**
 * Starts a proxy on loopback for an address that moves from one server to another, as the endpoint of a Redis does at
 * a failover. Connections that exist stay with their server.
 *
 * @param target the port of the first server
 * @param deliver replaces the delivery of all bytes in both directions
 */
export async function startTcpProxy(target: number, deliver: Deliver = deliverAll) {
  let current = target
  let accepted = 0
  let silenced = 0
  const sockets = new Set<Socket>()
  const outgoings = new WeakSet<Socket>()
  const server = createServer((incoming) => {
    accepted += 1
    const outgoing = connect(current, '127.0.0.1')
    outgoings.add(outgoing)
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        incoming.destroy()
        outgoing.destroy()
      })
    }
    if (silenced > 0) silenced -= 1
    else deliver(incoming, outgoing)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
  return {
    url: `redis://127.0.0.1:${address.port}`,
    /** The number of connections so far. */
    accepted: () => accepted,
    /** Leads new connections to another server. */
    moveTo(port: number): void {
      current = port
    },
    /** Delivers nothing more through the connections of now, and leaves them open, as a host does that has gone. */
    silence(): void {
      for (const socket of sockets) {
        socket.unpipe().pause()
        if (!outgoings.has(socket)) continue
        // With the host, its Redis forgot the connection.
        socket.removeAllListeners('close')
        socket.destroy()
        sockets.delete(socket)
      }
    },
    /** Accepts the next connections and delivers nothing through them. @param count how many */
    silenceNext(count: number): void {
      silenced = count
    },
    /** Ends the connections of now. */
    cut(): void {
      for (const socket of sockets) socket.destroy()
    },
    close(): void {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function deliverAll(incoming: Socket, outgoing: Socket): void {
  incoming.pipe(outgoing).pipe(incoming)
}
