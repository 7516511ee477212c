import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { S3Error } from './s3-error.ts'
import { createS3Exchange, type S3Exchange } from './s3-exchange.ts'
import { xmlDocument } from './xml.ts'

const headersTimeoutMs = 30_000
/** Longer than clients keep idle connections, so that none is closed just as a client reuses it. */
const keepAliveTimeoutMs = 65_000
/** How long `close` waits for active requests before it closes their connections (ms). */
const closeGraceMs = 2_000

/**
 * Creates the HTTP server. It turns each request into an exchange, and an error of its handler into S3's error
 * document.
 *
 * @param handle responds to one request; an S3Error that it throws becomes the response
 * @param toS3Error turns an error of the system into an S3Error if it has a meaning for clients
 */
export function createHttpServer(
  handle: (exchange: S3Exchange) => Promise<void> | void,
  toS3Error: (error: unknown) => unknown,
) {
  async function respond(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const exchange = createS3Exchange(req, res, expectsContinue)
    try {
      await handle(exchange)
    } catch (thrown) {
      // The client has disconnected. The handler has already removed what it had written.
      if (exchange.socket.destroyed) return
      const error = toS3Error(thrown)
      if (!(error instanceof S3Error))
        console.error(`local S3: ${req.method} ${exchange.rawPath} failed:`, error)
      exchange.sendError(error instanceof S3Error ? error : new S3Error('InternalError'))
    }
  }

  const active = new Set<Promise<void>>()
  function track(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const handling = respond(req, res, expectsContinue).finally(() => active.delete(handling))
    active.add(handling)
  }

  // No limit on the whole request: a body may take as long as it needs. readRawBody limits the time without bytes.
  const server = createServer({
    requestTimeout: 0,
    headersTimeout: headersTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  server.on('request', (req, res) => track(req, res, false))
  server.on('checkContinue', (req, res) => track(req, res, true))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
    const s3Error = new S3Error(tooLarge ? 'RequestHeaderSectionTooLarge' : 'BadRequest')
    const body = xmlDocument('Error', { Code: s3Error.code, Message: s3Error.message })
    socket.end(
      `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  })

  return {
    /**
     * @param port 0 for any free port
     * @returns the address, for example `http://127.0.0.1:40123`
     * @throws Error when the port is in use
     */
    async listen(port: number, host: string): Promise<string> {
      server.listen(port, host)
      await once(server, 'listening')
      const address = server.address()
      if (address === null || typeof address === 'string') throw new Error('the server has no port')
      const hostname = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `http://${hostname}:${address.port}`
    },

    /** Stops listening and waits for active requests; closes their connections after `closeGraceMs`. */
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), closeGraceMs)
      await closed
      clearTimeout(timer)
      await Promise.all(active)
    },
  }
}
