import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { crossOriginHeaders } from '../http/cross-origin.ts'
import { closeWithProblem } from '../requests/raw-problem.ts'

/** Bodies with a lower average rate are timed out: they only keep a connection open. */
const minimumBytesPerSecond = 500
/** Number of checks during the grace period. */
const checksPerGrace = 4

/**
 * Times out bodies that arrive too slowly while they are read into memory, as JSON is. A body has a grace
 * period, which grows with each received byte. Rule and default rate are those of mod_reqtimeout in the
 * Apache HTTP server. Routes that stream a body have a timeout of their own.
 *
 * @param options.graceMs time that any body may take, however slowly it arrives, in ms
 */
export function timeOutSlowBodies(app: FastifyInstance, { graceMs }: { graceMs: number }): void {
  const unfinished = new Map<
    FastifyRequest,
    { reply: FastifyReply; startedAtMs: number; bytesBefore: number }
  >()

  const checkTimer = setInterval(() => {
    const now = performance.now()
    for (const [request, { reply, startedAtMs, bytesBefore }] of unfinished) {
      const { raw } = request
      const bytes = raw.socket.bytesRead - bytesBefore
      if (raw.complete || raw.destroyed) unfinished.delete(request)
      else if (now - startedAtMs > graceMs + (bytes / minimumBytesPerSecond) * 1000) {
        unfinished.delete(request)
        timeOut(request, reply)
      }
    }
  }, graceMs / checksPerGrace)
  checkTimer.unref()
  app.addHook('onClose', async () => clearInterval(checkTimer))

  app.addHook('onRequest', (request, reply, done) => {
    const { headers } = request.raw
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0
    if (hasBody) watch(request, reply)
    done()
  })
  // Called when the body has been read, or when the route receives it unread.
  app.addHook('preValidation', (request, _reply, done) => {
    unfinished.delete(request)
    done()
  })
  // After an early response, the connection still waits for the rest of the body.
  app.addHook('onResponse', (request, reply, done) => {
    watch(request, reply)
    done()
  })

  function watch(request: FastifyRequest, reply: FastifyReply): void {
    const { complete, socket } = request.raw
    if (complete) return
    unfinished.set(request, { reply, startedAtMs: performance.now(), bytesBefore: socket.bytesRead })
  }

  function timeOut({ raw, log }: FastifyRequest, reply: FastifyReply): void {
    log.info({ code: 'request_timeout' }, 'request body timed out')
    // If a response was already sent, the connection only waits for the rest of the body.
    if (raw.socket.writable && !reply.raw.headersSent) {
      closeWithProblem(raw.socket, 'request_timeout', crossOriginHeaders(reply))
    } else raw.socket.destroy()
  }
}
