import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CannotStart } from './cannot-start.ts'

export const usage = `Usage: npm start -- [options]

  --port PORT      where the console and the API listen (3000; 0 for a free one)
  --host ADDRESS   the address to listen on (127.0.0.1: this machine only)
  --api N          how many API instances share the port (1)
  --workers N      how many workers process uploads (1)
  --data DIR       where uploads, Redis and logs are kept (.millrace)
  --verbose        show all that the services log
  --help           show this

REDIS_URL, when set, names a Redis to use instead of starting one.
Ctrl-C stops everything in order and exits with 0; a second one does not wait.`

export type Options = NonNullable<ReturnType<typeof readOptions>>

/**
 * Reads the command line.
 * @param parameters without the program's own name
 * @returns undefined when help is asked for
 * @throws CannotStart with one sentence and exit code 2
 */
export function readOptions(parameters: string[]) {
  const values = parse(parameters)
  if (values.help) return undefined
  return {
    port: wholeNumber('--port', values.port, 0, 65_535),
    host: values.host,
    api: wholeNumber('--api', values.api, 1, 32),
    workers: wholeNumber('--workers', values.workers, 1, 32),
    directory: resolve(values.data),
    verbose: values.verbose,
  }
}

function parse(parameters: string[]) {
  try {
    return parseArgs({
      args: parameters,
      options: {
        port: { type: 'string', default: '3000' },
        host: { type: 'string', default: '127.0.0.1' },
        api: { type: 'string', default: '1' },
        workers: { type: 'string', default: '1' },
        data: { type: 'string', default: '.millrace' },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // Node's own words end in a hint at positional arguments, which there are none of.
    const [sentence] = error.message.split('. ')
    throw new CannotStart(`${sentence?.replace(/\.$/, '')}; --help lists the options.`, 2)
  }
}

function wholeNumber(flag: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
  throw new CannotStart(`${flag} takes a whole number from ${minimum} to ${maximum}, not "${text}".`, 2)
}
