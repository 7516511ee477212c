import { startTcpProxy } from './tcp-proxy.ts'

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
  const { url, cut, close } = await startTcpProxy(target, (incoming, outgoing) => {
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
  })
  return {
    url,
    cut,
    close,
    /** Ends each of the next connections after so many confirmed channels. They replace earlier numbers. */
    cutNext(...afterConfirmed: number[]): void {
      cuts = afterConfirmed
    },
    /** How many channels were confirmed through the last connection. */
    confirmed: () => confirmed,
  }
}
