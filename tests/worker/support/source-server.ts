import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

type Answer = RequestListener

export type SourceServer = Awaited<ReturnType<typeof startSourceServer>>

/**
 * A web server on loopback from which files are fetched.
 *
 * @param options.host where it listens; 127.0.0.1 where it is not given
 * @param options.port one that another source has on another address
 * @param options.tls its key and certificate, in PEM
 */
export async function startSourceServer(
  options: { host?: string; port?: number; tls?: { key: string; cert: string } } = {},
) {
  const answers = new Map<string, Answer>()
  const seen: { path: string; headers: IncomingHttpHeaders }[] = []
  let connections = 0
  const listener: Answer = (request, response) => {
    seen.push({ path: request.url ?? '', headers: request.headers })
    const answer = answers.get(new URL(request.url ?? '', 'http://x').pathname)
    if (answer) answer(request, response)
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
    /** By the address itself. */
    url: (path: string) =>
      `http${options.tls ? 's' : ''}://${options.host ?? '127.0.0.1'}:${address.port}${path}`,
    on(path: string, answer: Answer): void {
      answers.set(path, answer)
    },
    redirect(path: string, location: string, status = 302): void {
      answers.set(path, (_request, response) => response.writeHead(status, { location }).end())
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
