import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

export type SourceServer = Awaited<ReturnType<typeof startSourceServer>>

/**
 * Starts a web server on loopback, as a source of imports.
 *
 * @param options.host the address to listen on; default: 127.0.0.1
 * @param options.port the port to listen on; default: any free port
 * @param options.tls key and certificate in PEM; default: plain HTTP
 */
export async function startSourceServer(
  options: { host?: string; port?: number; tls?: { key: string; cert: string } } = {},
) {
  const listeners = new Map<string, RequestListener>()
  const seen: { path: string; headers: IncomingHttpHeaders }[] = []
  let connections = 0
  const listener: RequestListener = (request, response) => {
    seen.push({ path: request.url ?? '', headers: request.headers })
    const pathListener = listeners.get(new URL(request.url ?? '', 'http://x').pathname)
    if (pathListener) pathListener(request, response)
    else response.writeHead(404).end()
  }
  const server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener)
  server.on('connection', () => {
    connections += 1
  })
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The source has no port.')
  return {
    port: address.port,
    /** Returns a URL with the IP address as its host. */
    url: (path: string) =>
      `http${options.tls ? 's' : ''}://${options.host ?? '127.0.0.1'}:${address.port}${path}`,
    on(path: string, pathListener: RequestListener): void {
      listeners.set(path, pathListener)
    },
    redirect(path: string, location: string, status = 302): void {
      listeners.set(path, (_request, response) => response.writeHead(status, { location }).end())
    },
    seen,
    get connections() {
      return connections
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
