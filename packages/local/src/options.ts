import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { FleetLimits } from '@millrace/shared/fleet/scaling-policy.ts'
import { StartError } from './setup/start-error.ts'

/** Of one kind. More would only wait for each other. */
const mostProcesses = 32

export const usage = `Usage: npm start -- [options]

  --port PORT      where the console and the API listen (3000; 0 for a free one)
  --host ADDRESS   the address to listen on (127.0.0.1: this machine only)
  --api N          how many API instances share the port (1)
  --workers N      how many workers process uploads (1)
                   A range such as 1..4 has them scaled: workers by load, API instances by CPU.
  --speed N        how many times as fast as on AWS they are scaled (1)
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
 * @throws StartError with one sentence and exit code 2
 */
export function readOptions(parameters: string[]) {
  const values = parse(parameters)
  if (values.help) return undefined
  return {
    port: wholeNumber('--port', values.port, 0, 65_535),
    host: values.host,
    api: limits('--api', values.api, 1),
    workers: limits('--workers', values.workers, 0),
    speed: wholeNumber('--speed', values.speed, 1, 60),
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
        speed: { type: 'string', default: '1' },
        data: { type: 'string', default: '.millrace' },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // Node's own words end in a hint at positional arguments, which there are none of.
    const [sentence] = error.message.split('. ')
    throw new StartError(`${sentence?.replace(/\.$/, '')}; --help lists the options.`, 2)
  }
}

function wholeNumber(flag: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
  throw new StartError(`${flag} takes a whole number from ${minimum} to ${maximum}, not "${text}".`, 2)
}

/** How many at least and at most: `2`, or `1..4`. @param fewest of a range; of a fixed number it is one */
function limits(flag: string, text: string, fewest: number): FleetLimits {
  const [, one = '', other = one] = /^(\d+)(?:\.\.(\d+))?$/.exec(text) ?? []
  const [min, max] = [Number(one), Number(other)]
  if (one !== '' && min >= fewest && max >= Math.max(1, min) && max <= mostProcesses) return { min, max }
  throw new StartError(
    `${flag} takes a whole number from 1 to ${mostProcesses}, or two of them as in 1..4, not "${text}".`,
    2,
  )
}
