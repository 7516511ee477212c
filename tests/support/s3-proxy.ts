import { once } from 'node:events'
import { createServer, request } from 'node:http'

/**
 * Pass a request on, refuse it like an overloaded S3 (503 SlowDown), fail it like a broken one (500 InternalError) or one
 * whose disk is full (507), deny it (403 AccessDenied), time it out like an S3 that waits for the rest of the body
 * (400 RequestTimeout), cut its response off within the body, close its connection instead
 * of passing it on (`reset`), pass it on and close its connection instead of responding (`lose`), or pass it on and
 * remove the ETag from the response, as a browser does without CORS rules for it (`hide-etag`). An object is another error of S3.
 */
export type ProxyAction =
  | 'pass'
  | 'refuse'
  | 'fail'
  | 'full'
  | 'deny'
  | 'invalid'
  | 'time-out'
  | 'cut'
  | 'reset'
  | 'lose'
  | 'hide-etag'
  | S3Refusal

type S3Refusal = { status: number; code: string; message?: string }

/** The responses of the proxy itself. */
const refusals: Record<string, S3Refusal> = {
  refuse: { status: 503, code: 'SlowDown' },
  fail: { status: 500, code: 'InternalError' },
  full: { status: 507, code: 'InsufficientStorage' },
  deny: { status: 403, code: 'AccessDenied' },
  invalid: { status: 400, code: 'InvalidRequest' },
  'time-out': { status: 400, code: 'RequestTimeout' },
}

/** A request to S3. The path contains bucket and key. `target` is the operation of a request to SQS. */
export type SeenRequest = { method: string; path: string; target?: string }

export type S3Proxy = Awaited<ReturnType<typeof startS3Proxy>>

/**
 * Starts a proxy between a client and S3, with which a test can delay requests and make them fail.
 * Signatures stay valid, since the client signs for the proxy's address and S3 checks them with the Host header.
 */
export async function startS3Proxy(endpoint: string) {
  let decide: (seen: SeenRequest) => ProxyAction | Promise<ProxyAction> = () => 'pass'
  let beforeResponse: (seen: SeenRequest) => Promise<void> | undefined = () => undefined
  const server = createServer(async (incoming, outgoing) => {
    const target = incoming.headers['x-amz-target']
    const seen: SeenRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      ...(typeof target === 'string' && { target }),
    }
    const action = await decide(seen)
    // The client may have given up while a test held its request.
    if (outgoing.destroyed) return
    const refusal = typeof action === 'object' ? action : refusals[action]
    if (refusal) {
      incoming.resume()
      const { status, code, message } = refusal
      const reason = message === undefined ? '' : `<Message>${message}</Message>`
      const body = `<Error><Code>${code}</Code>${reason}</Error>`
      outgoing.writeHead(status, { connection: 'close' }).end(body)
      return
    }
    if (action === 'reset') {
      outgoing.destroy()
      return
    }
    const forwarded = request(
      new URL(incoming.url ?? '/', endpoint),
      { method: incoming.method, headers: incoming.headers },
      async (response) => {
        await beforeResponse(seen)
        if (action === 'lose') {
          response.resume()
          outgoing.destroy()
          return
        }
        if (action === 'hide-etag') delete response.headers.etag
        outgoing.writeHead(response.statusCode ?? 502, response.headers)
        if (action === 'pass' || action === 'hide-etag') response.pipe(outgoing)
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
  // S3's own header `Keep-Alive: timeout=65` is passed on. A client that waits that long must find the connection open.
  server.keepAliveTimeout = 70_000
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
