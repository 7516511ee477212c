import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** What Redis sends for a channel that it has subscribed (RESP3). */
const confirmation = />3\r\n\$9\r\nsubscribe\r\n\$\d+\r\n[^\r]*\r\n:\d+\r\n/g

export type SubscriptionProxy = Awaited<ReturnType<typeof startSubscriptionProxy>>

/**
 * Starts a proxy on loopback for a Redis, which loses connections while their channels are subscribed.
 *
 * @param target the port of the Redis
 */
export async function startSubscriptionProxy(target: number) {
  let cuts: number[] = []
  let confirmed = 0
  const sockets = new Set<Socket>()
  const server = createServer((incoming) => {
    const outgoing = connect(target, '127.0.0.1')
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        incoming.destroy()
        outgoing.destroy()
      })
    }
    const limit = cuts.shift()
    let received = ''
    confirmed = 0
    incoming.pipe(outgoing)
    outgoing.on('data', (data) => {
      const start = received.length
      received += data.toString('latin1')
      const confirmations = [...received.matchAll(confirmation)]
      const cutAt = limit === undefined ? undefined : confirmations[limit]?.index
      confirmed = cutAt === undefined ? confirmations.length : (limit ?? 0)
      if (cutAt === undefined) incoming.write(data)
      // Delivered whole, then the end: a reset could lose it.
      else if (incoming.writable) incoming.end(data.subarray(0, Math.max(0, cutAt - start)))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
  return {
    url: `redis://127.0.0.1:${address.port}`,
    /** Ends each of the next connections after so many confirmed channels. They replace earlier numbers. */
    cutNext(...afterConfirmed: number[]): void {
      cuts = afterConfirmed
    },
    /** How many channels were confirmed through the last connection. */
    confirmed: () => confirmed,
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
