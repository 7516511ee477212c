import { checksPerIdleTimeout } from '@millrace/shared/connections/connection-timeouts.ts'
import { createMinimumRate, type TransferSample } from '@millrace/shared/network/minimum-rate.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { crossOriginHeaders } from '../http/cross-origin.ts'
import { closeWithProblem } from '../requests/raw-problem.ts'

/** Limits of a request whose body is streamed. */
export type TransferLimits = {
  /** Time without bytes, in ms. */
  idleTimeoutMs: number
  /** The rate below which the transfer is ended, measured in half an idle timeout; 0: no limit. */
  minBytesPerSecond: number
}

/**
 * Starts the timeouts of a request whose body is streamed. If no byte arrives for `idleTimeoutMs`, the connection is
 * closed. The reason may be the client, or S3 if it accepts no more bytes. A client that sends more slowly than
 * `minBytesPerSecond` is ended too. Time in which the server does not read does not count against it.
 *
 * @returns `signal`, which aborts on a timeout and when the client disconnects, and `done`, which ends the timeouts
 */
export function startTransferTimeout(
  request: FastifyRequest,
  reply: FastifyReply,
  { idleTimeoutMs, minBytesPerSecond }: TransferLimits,
): { signal: AbortSignal; done(): void } {
  const { raw } = request
  const { socket } = raw
  const controller = new AbortController()
  const sample = (): TransferSample => ({
    nowMs: performance.now(),
    bytes: socket.bytesRead,
    isUnread: raw.readableLength > 0,
  })
  const periodMs = idleTimeoutMs / checksPerIdleTimeout
  const windowMs = idleTimeoutMs / 2
  const judge = createMinimumRate({ minBytesPerSecond, windowMs, periodMs, start: sample() })
  let lastByte = { bytes: socket.bytesRead, atMs: performance.now() }

  const onClose = () => {
    controller.abort(
      new AppError('invalid_request', {
        message: 'The connection was closed before the whole file arrived.',
      }),
    )
  }
  const timer = setInterval(() => {
    const now = sample()
    if (now.bytes !== lastByte.bytes) lastByte = { bytes: now.bytes, atMs: now.nowMs }
    // A client that has sent everything waits for us.
    if (judge(now) !== 'fine' && !raw.complete)
      end(`Fewer than ${minBytesPerSecond} bytes per second arrived.`)
    else if (now.nowMs - lastByte.atMs >= idleTimeoutMs) {
      end(`No bytes arrived for ${Math.round(idleTimeoutMs / 1000)} s.`)
    }
  }, periodMs)

  function end(message: string): void {
    clearInterval(timer)
    controller.abort(new AppError('request_timeout', { message }))
    if (socket.writable && !reply.raw.headersSent) {
      closeWithProblem(socket, 'request_timeout', crossOriginHeaders(reply))
    } else socket.destroy()
  }

  reply.raw.once('close', onClose)
  return {
    signal: controller.signal,
    done() {
      clearInterval(timer)
      reply.raw.off('close', onClose)
    },
  }
}
