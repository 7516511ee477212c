import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { closeWithProblem } from './raw-problem.ts'

/**
 * Watches over a request whose body is passing through. The signal aborts when the client goes away, and when
 * nothing at all has come for `silenceMs`, which closes the connection, be it that the client went silent or that S3 takes no more.
 *
 * @param silenceMs milliseconds
 */
export function startTransferTimeout(
  request: FastifyRequest,
  reply: FastifyReply,
  silenceMs: number,
): { signal: AbortSignal; done(): void } {
  const { socket } = request.raw
  const controller = new AbortController()
  let seen = socket.bytesRead
  let changedAtMs = Date.now()

  const onClose = () => {
    controller.abort(
      new AppError('invalid_request', { message: 'The connection ended before the file did.' }),
    )
  }
  const watch = setInterval(() => {
    if (socket.bytesRead !== seen) {
      seen = socket.bytesRead
      changedAtMs = Date.now()
      return
    }
    if (Date.now() - changedAtMs < silenceMs) return
    controller.abort(
      new AppError('invalid_request', { message: `Nothing has come for ${Math.round(silenceMs / 1000)} s.` }),
    )
    if (socket.writable && !reply.raw.headersSent) closeWithProblem(socket, 'request_timeout')
    else socket.destroy()
  }, silenceMs / 4)
  reply.raw.once('close', onClose)
  return {
    signal: controller.signal,
    done() {
      clearInterval(watch)
      reply.raw.off('close', onClose)
    },
  }
}
