import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { closeWithProblem } from './raw-problem.ts'

/**
 * Starts the idle timeout of a request whose body is streamed. If no byte arrives for `idleTimeoutMs`, the
 * connection is closed. The reason may be the client, or S3 if it accepts no more bytes.
 *
 * @param idleTimeoutMs time without bytes, in ms
 * @returns `signal`, which aborts on the timeout and when the client disconnects, and `done`, which ends the
 *   timeout
 */
export function startTransferTimeout(
  request: FastifyRequest,
  reply: FastifyReply,
  idleTimeoutMs: number,
): { signal: AbortSignal; done(): void } {
  const { socket } = request.raw
  const controller = new AbortController()
  let bytesAtLastCheck = socket.bytesRead
  let lastByteAtMs = Date.now()

  const onClose = () => {
    controller.abort(
      new AppError('invalid_request', {
        message: 'The connection was closed before the whole file arrived.',
      }),
    )
  }
  const timer = setInterval(() => {
    if (socket.bytesRead !== bytesAtLastCheck) {
      bytesAtLastCheck = socket.bytesRead
      lastByteAtMs = Date.now()
      return
    }
    if (Date.now() - lastByteAtMs < idleTimeoutMs) return
    controller.abort(
      new AppError('invalid_request', {
        message: `No bytes arrived for ${Math.round(idleTimeoutMs / 1000)} s.`,
      }),
    )
    if (socket.writable && !reply.raw.headersSent) closeWithProblem(socket, 'request_timeout')
    else socket.destroy()
  }, idleTimeoutMs / 4)
  reply.raw.once('close', onClose)
  return {
    signal: controller.signal,
    done() {
      clearInterval(timer)
      reply.raw.off('close', onClose)
    },
  }
}
