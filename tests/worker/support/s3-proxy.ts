import { once } from 'node:events'
import { createServer, request } from 'node:http'

/**
 * What happens to one request: it is passed on, refused as an S3 that is overloaded would, or its answer is
 * cut off in the middle of the body.
 */
export type Fate = 'pass' | 'refuse' | 'cut'

/** A key as requests show it, in the path. */
export type SeenRequest = { method: string; path: string }

export type S3Proxy = Awaited<ReturnType<typeof startS3Proxy>>

/**
 * Stands between a client and S3, where a test can hold requests back and break them.
 * Signatures stay good, since the client signs for this address and S3 believes the Host header.
 */
export async function startS3Proxy(endpoint: string) {
  let decide: (seen: SeenRequest) => Fate | Promise<Fate> = () => 'pass'
  let beforeResponse: (seen: SeenRequest) => Promise<void> | undefined = () => undefined
  const server = createServer(async (incoming, outgoing) => {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '' }
    const fate = await decide(seen)
    if (fate === 'refuse') {
      incoming.resume()
      outgoing.writeHead(503, { connection: 'close' }).end('<Error><Code>SlowDown</Code></Error>')
      return
    }
    const target = new URL(incoming.url ?? '/', endpoint)
    const onward = request(target, { method: incoming.method, headers: incoming.headers }, async (answer) => {
      await beforeResponse(seen)
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      if (fate === 'pass') answer.pipe(outgoing)
      else
        answer.once('data', (chunk: Buffer) =>
          outgoing.write(chunk.subarray(0, 100), () => outgoing.destroy()),
        )
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    /** Decides about every request from now on. */
    intercept(rule: typeof decide): void {
      decide = rule
    },
    /** Holds back the first request that fits, and passes all others. */
    hold(fits: (seen: SeenRequest) => boolean) {
      const arrived = Promise.withResolvers<SeenRequest>()
      const released = Promise.withResolvers<Fate>()
      let held = false
      decide = (seen) => {
        if (held || !fits(seen)) return 'pass'
        held = true
        arrived.resolve(seen)
        return released.promise
      }
      return { arrived: arrived.promise, release: (fate: Fate = 'pass') => released.resolve(fate) }
    },
    /** Holds the response to the first request that matches, once S3 has sent it. */
    holdResponse(fits: (seen: SeenRequest) => boolean) {
      const arrived = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      beforeResponse = (seen) => {
        if (!fits(seen)) return undefined
        beforeResponse = () => undefined
        arrived.resolve()
        return released.promise
      }
      return { arrived: arrived.promise, release: () => released.resolve() }
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
    },
  }
}
