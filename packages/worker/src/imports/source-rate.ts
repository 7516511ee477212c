import type { IncomingMessage } from 'node:http'
import { createMinimumRate } from '@millrace/shared/network/minimum-rate.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** How often the bytes of a source are counted in a window. */
const countsPerWindow = 10

/** The lowest rate of a source. */
export type SourceRate = {
  /** 0: no limit. */
  minBytesPerSecond: number
  /** How long the rate is measured before it is judged, in ms. */
  windowMs: number
}

/**
 * Ends a body with `source_too_slow` if its source sends too slowly. A source that sends a byte now and then would not
 * reach the idle timeout and would keep its slot until the timeout of the whole file.
 *
 * Time in which received data waits to be read does not count: then S3 is slow, not the source. A window without any byte
 * is not judged, since the idle timeout ends such a source with an error that is retried.
 */
export function watchSourceRate(body: IncomingMessage, { minBytesPerSecond, windowMs }: SourceRate): void {
  if (minBytesPerSecond === 0) return
  const { socket } = body
  const periodMs = windowMs / countsPerWindow
  const sample = () => ({
    nowMs: performance.now(),
    bytes: socket.bytesRead,
    isUnread: body.readableLength > 0,
  })
  const judge = createMinimumRate({ minBytesPerSecond, windowMs, periodMs, start: sample() })
  const timer = setInterval(() => {
    if (judge(sample()) !== 'slow') return
    body.destroy(
      new AppError('source_too_slow', {
        message: `The source sent less than ${minBytesPerSecond} bytes per second for ${windowMs / 1000} seconds.`,
      }),
    )
  }, periodMs)
  body.once('close', () => clearInterval(timer))
}
