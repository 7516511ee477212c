import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { closeWithProblem } from '../http/raw-problem.ts'

/** A body that has come slower than this on average keeps a connection busy for its own sake. */
const minimumBytesPerSecond = 500
const looksPerGrace = 4

/**
 * Gives up on bodies that come too slowly while they are read into memory, which is what happens to JSON.
 * A body has its time of grace, and the more of it has come, the longer it may go on: as mod_reqtimeout of
 * the Apache HTTP server has it, whose default rate this is. Bodies that a route passes on as they come are
 * watched by that route.
 *
 * @param options.graceMs how long a body may take at least, in ms
 */
export function timeOutSlowBodies(app: FastifyInstance, { graceMs }: { graceMs: number }): void {
  const reading = new Map<FastifyRequest, { reply: FastifyReply; startedAtMs: number; bytesBefore: number }>()

  const look = setInterval(() => {
    const now = performance.now()
    for (const [request, { reply, startedAtMs, bytesBefore }] of reading) {
      const { raw } = request
      const bytes = raw.socket.bytesRead - bytesBefore
      if (raw.complete || raw.destroyed) reading.delete(request)
      else if (now - startedAtMs > graceMs + (bytes / minimumBytesPerSecond) * 1000) {
        reading.delete(request)
        giveUp(request, reply)
      }
    }
  }, graceMs / looksPerGrace)
  look.unref()
  app.addHook('onClose', async () => clearInterval(look))

  app.addHook('onRequest', (request, reply, done) => {
    const { headers } = request.raw
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0
    if (hasBody) watch(request, reply)
    done()
  })
  // Comes when the body has been read, or when its route took it unread.
  app.addHook('preValidation', (request, _reply, done) => {
    reading.delete(request)
    done()
  })
  // Answered before its body was there: the connection waits for the rest of it.
  app.addHook('onResponse', (request, reply, done) => {
    watch(request, reply)
    done()
  })

  function watch(request: FastifyRequest, reply: FastifyReply): void {
    const { complete, socket } = request.raw
    if (complete) return
    reading.set(request, { reply, startedAtMs: performance.now(), bytesBefore: socket.bytesRead })
  }

  function giveUp({ raw, log }: FastifyRequest, reply: FastifyReply): void {
    log.info({ code: 'request_timeout' }, 'body came too slowly')
    // Where there is an answer already, the rest of the body is all that the connection still waits for.
    if (raw.socket.writable && !reply.raw.headersSent) closeWithProblem(raw.socket, 'request_timeout')
    else raw.socket.destroy()
  }
}
