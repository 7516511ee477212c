import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { FleetLimits } from '@millrace/shared/fleet/scaling-policy.ts'
import { StartError } from './setup/start-error.ts'

/** The most API instances, and the most workers. More would only compete for the machine's cores. */
const maxProcesses = 32

export const usage = `Usage: npm start -- [options]

  --port PORT      port of the console and the API (default PORT, else 3000; 0 chooses a free port)
  --host ADDRESS   address to listen on (default HOST of .env, else 127.0.0.1: this machine only)
  --api N          number of API instances behind the port (default 1)
  --workers N      number of workers (default 1)
                   For --api and --workers, a range such as 1..4 turns on scaling:
                   API instances by CPU use, workers by queue load and demand.
  --speed N        scale N times as fast as on AWS (default 1, at most 60)
  --data DIR       directory of uploads, Redis data and logs (default .millrace)
  --verbose        print all log lines of the services (default: warnings and errors)
  --help           print this text and exit

Settings are environment variables, also those of .env in this folder; the environment takes precedence over .env
(.env.example lists all). REDIS_URL is the URL of a Redis server to use. By default, one is started.
ALLOWED_HOSTS are more host names under which browsers may open the console. The names of this
machine are always allowed: localhost, and with --host also its own name and addresses.
ALLOWED_ORIGINS are origins whose pages may call the API, such as http://localhost:5173.
Ctrl-C stops everything in order and exits with code 0. A second Ctrl-C exits immediately.`

export type Options = NonNullable<ReturnType<typeof readOptions>>

/**
 * Parses the command line.
 * @param parameters the arguments, without the program's name
 * @param readDefaults reads `PORT` and `HOST`, which apply without --port and --host; not called with --help
 * @returns undefined if the arguments contain --help
 * @throws StartError with one sentence and exit code 2
 */
export function readOptions(
  parameters: string[],
  readDefaults: () => { PORT?: string | undefined; HOST?: string | undefined } = () => ({}),
) {
  const values = parse(parameters)
  if (values.help) return undefined
  const { PORT, HOST } = readDefaults()
  return {
    port: parseWholeNumber(
      values.port === undefined ? 'PORT' : '--port',
      values.port ?? (PORT || '3000'),
      0,
      65_535,
    ),
    host: values.host ?? (HOST || '127.0.0.1'),
    api: parseLimits('--api', values.api, 1),
    workers: parseLimits('--workers', values.workers, 0),
    speed: parseWholeNumber('--speed', values.speed, 1, 60),
    directory: resolve(values.data),
    verbose: values.verbose,
  }
}

function parse(parameters: string[]) {
  try {
    return parseArgs({
      args: parameters,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
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
    // Only Node's first sentence: the rest is about positional arguments, which this command does not have.
    const [sentence] = error.message.split('. ')
    throw new StartError(`${sentence?.replace(/\.$/, '')}; see --help.`, 2)
  }
}

function parseWholeNumber(flag: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
  throw new StartError(`${flag} must be a whole number from ${minimum} to ${maximum}, not "${text}".`, 2)
}

/** Parses a fixed size such as `2`, or a range such as `1..4`. @param lowest the lowest minimum of a range */
function parseLimits(flag: string, text: string, lowest: number): FleetLimits {
  const [, first = '', second = first] = /^(\d+)(?:\.\.(\d+))?$/.exec(text) ?? []
  const [min, max] = [Number(first), Number(second)]
  if (first !== '' && min >= lowest && max >= Math.max(1, min) && max <= maxProcesses) return { min, max }
  throw new StartError(
    `${flag} must be a whole number from 1 to ${maxProcesses} or a range such as 1..4, not "${text}".`,
    2,
  )
}
