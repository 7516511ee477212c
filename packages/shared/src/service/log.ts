import { type DestinationStream, type Logger, pino } from 'pino'
import { loggableError } from './loggable-error.ts'
import { scrubSecrets } from './scrub-secrets.ts'

/** Names under which something that nobody should read may come along. `*` is any one level. */
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
 * A process's log: one JSON object a line on standard output. No line holds cookies, keys, signed URLs or
 * names of people's files: errors are reduced to what they say, properties that are known to carry secrets
 * are left out, and whatever still looks like a secret is scrubbed from the finished line.
 *
 * @param options.level pino's level
 * @param options.instance names the process among its peers
 * @param destination where lines go; standard output where it is not given
 */
export function createLog(
  { level, instance }: { level: string; instance: string },
  // Written at once: of lines that wait, sonic-boom 4.2 writes the last ones at the process's exit, and tries for
  // ever where whoever read them is gone.
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { instance },
      serializers: { err: loggableError, error: loggableError, reason: loggableError },
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`]), remove: true },
      hooks: { streamWrite: scrubSecrets },
    },
    destination,
  )
}
