import { type DestinationStream, type Logger, pino } from 'pino'
import { loggableError } from './loggable-error.ts'
import { scrubSecrets } from './scrub-secrets.ts'

/** Property names that may hold secrets or personal data; removed at the top level and one level below. */
const secretNames = [
  'headers',
  'rawHeaders',
  'cookie',
  'cookies',
  'authorization',
  'body',
  'fields',
  'filename',
  'intent',
  'metadata',
  'source',
  'sourceUrl',
]

/**
 * Creates a process's log: one JSON object per line on standard output. No line contains cookies, keys, signed URLs or
 * file names: errors are reduced (`loggableError`), properties with secrets are removed, and the finished line is
 * scrubbed (`scrubSecrets`).
 *
 * @param options.level pino's level
 * @param options.instance name of this process
 * @param options.traceId returns the id of the active trace, which each line then carries; undefined: there is none
 * @param destination default: standard output
 */
export function createLog(
  {
    level,
    instance,
    traceId,
  }: { level: string; instance: string; traceId?: (() => string | undefined) | undefined },
  // Synchronous: sonic-boom 4.2 flushes buffered lines when the process exits, and retries forever if the reader of
  // the pipe is gone.
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { instance },
      ...(traceId && { mixin: () => traceField(traceId()) }),
      serializers: { err: loggableError, error: loggableError, reason: loggableError },
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`]), remove: true },
      hooks: { streamWrite: scrubSecrets },
    },
    destination,
  )
}

function traceField(traceId: string | undefined): object {
  return traceId === undefined ? {} : { traceId }
}
