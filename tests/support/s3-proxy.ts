import { once } from 'node:events'
import { createServer, request } from 'node:http'

/**
 * Pass a request on, refuse it like an overloaded S3 (503 SlowDown), deny it (403 AccessDenied), time it out like an S3
 * that waits for the rest of the body (400 RequestTimeout), or cut its response off within the body.
 */
export type ProxyAction = 'pass' | 'refuse' | 'deny' | 'time-out' | 'cut'

/** A request to S3. The path contains bucket and key. */
export type SeenRequest = { method: string; path: string }

export type S3Proxy = Awaited<ReturnType<typeof startS3Proxy>>

/**
 * Starts a proxy between a client and S3, with which a test can delay requests and make them fail.
 * Signatures stay valid, since the client signs for the proxy's address and S3 checks them with the Host header.
 */
export async function startS3Proxy(endpoint: string) {
  let decide: (seen: SeenRequest) => ProxyAction | Promise<ProxyAction> = () => 'pass'
  let beforeResponse: (seen: SeenRequest) => Promise<void> | undefined = () => undefined
  const server = createServer(async (incoming, outgoing) => {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '' }
    const action = await decide(seen)
    if (action === 'refuse') {
      incoming.resume()
      outgoing.writeHead(503, { connection: 'close' }).end('<Error><Code>SlowDown</Code></Error>')
      return
    }
    if (action === 'deny') {
      incoming.resume()
      outgoing.writeHead(403, { connection: 'close' }).end('<Error><Code>AccessDenied</Code></Error>')
      return
    }
    if (action === 'time-out') {
      incoming.resume()
      outgoing.writeHead(400, { connection: 'close' }).end('<Error><Code>RequestTimeout</Code></Error>')
      return
    }
    const target = new URL(incoming.url ?? '/', endpoint)
    const forwarded = request(
      target,
      { method: incoming.method, headers: incoming.headers },
      async (response) => {
        await beforeResponse(seen)
        outgoing.writeHead(response.statusCode ?? 502, response.headers)
        if (action === 'pass') response.pipe(outgoing)
        else {
          response.once('data', (chunk: Buffer) =>
            outgoing.write(chunk.subarray(0, 100), () => outgoing.destroy()),
          )
          // A response without a body: the client gets nothing of it.
          response.once('end', () => outgoing.destroy())
        }
      },
    )
    forwarded.on('error', () => outgoing.destroy())
    outgoing.on('close', () => forwarded.destroy())
    incoming.pipe(forwarded)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    /** Sets the function that decides about each request. */
    intercept(next: typeof decide): void {
      decide = next
    },
    /** Holds the first request that matches until `release`, and passes all others. */
    hold(matches: (seen: SeenRequest) => boolean) {
      const arrived = Promise.withResolvers<SeenRequest>()
      const released = Promise.withResolvers<ProxyAction>()
      let held = false
      decide = (seen) => {
        if (held || !matches(seen)) return 'pass'
        held = true
        arrived.resolve(seen)
        return released.promise
      }
      return { arrived: arrived.promise, release: (action: ProxyAction = 'pass') => released.resolve(action) }
    },
    /** Holds the response to the first request that matches, once S3 has sent it. */
    holdResponse(matches: (seen: SeenRequest) => boolean) {
      const arrived = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      beforeResponse = (seen) => {
        if (!matches(seen)) return undefined
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
