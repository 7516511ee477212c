import { parseArgs } from 'node:util'
import { workerLimits } from '@millrace/shared/fleet/scaling-policy.ts'
import { defaultPrices } from './simulation/prices.ts'
import type { Conditions } from './simulation/simulate.ts'
import { defaultSpotMarket } from './simulation/spot-market.ts'
import { photoDurations } from './traces/trace.ts'

export const usage = `Usage: npm run simulate -- [options]

  --trace NAME       burst, diurnal, flash-crowd, evening, or a CSV file (default: the four named traces)
  --seed N           seed of the random numbers (default 1)
  --boot 75s         time from a worker's launch until it takes jobs (default 75s)
  --slots N          slots of each worker (default 4)
  --job 900ms        mean duration of a job (default 900ms)
  --spread X         standard deviation of the duration's logarithm (default 1; 0: all jobs are equal)
  --min N            minimum number of workers (default ${workerLimits.min})
  --max N            maximum number of workers (default ${workerLimits.max})
  --on-demand N      number of workers that are on-demand instances; the others are Spot (default 2)
  --price X          dollars an hour of an on-demand instance (default ${defaultPrices.onDemand})
  --spot-price X     dollars an hour of a Spot instance (default ${defaultPrices.spot})
  --interruptions X  interruptions of each Spot instance an hour (default ${defaultSpotMarket.interruptionsPerHour})
  --svg DIR          directory of the charts (default .millrace)
  --search 60s       search for better numbers of the policy for this time
  --help             print this text and exit

A CSV file has the header \`arrived_s,duration_s\` and one job a line, or \`from_s,jobs_per_s\` and one rate a line.`

/** A command line error; its message is one sentence. */
export class OptionError extends Error {}

/**
 * Parses the command line.
 * @param parameters the arguments, without the program's name
 * @returns undefined if they contain --help
 * @throws OptionError
 */
export function readOptions(parameters: string[]) {
  const values = parse(parameters)
  if (values.help) return undefined
  const min = parseWholeNumber('--min', values.min, 0)
  const conditions: Conditions = {
    seed: parseWholeNumber('--seed', values.seed, 0),
    bootS: parseSeconds('--boot', values.boot),
    slotsPerWorker: parseWholeNumber('--slots', values.slots, 1),
    limits: { min, max: parseWholeNumber('--max', values.max, Math.max(1, min)) },
    onDemandBase: parseWholeNumber('--on-demand', values['on-demand'], 0),
    prices: {
      onDemand: parseQuantity('--price', values.price),
      spot: parseQuantity('--spot-price', values['spot-price']),
    },
    spot: { interruptionsPerHour: parseQuantity('--interruptions', values.interruptions) },
  }
  return {
    trace: values.trace,
    conditions,
    durations: { meanS: parseSeconds('--job', values.job), sigma: parseQuantity('--spread', values.spread) },
    svgDirectory: values.svg,
    searchS: values.search === undefined ? undefined : parseSeconds('--search', values.search),
  }
}

export type Options = NonNullable<ReturnType<typeof readOptions>>

function parse(parameters: string[]) {
  try {
    return parseArgs({
      args: parameters,
      options: {
        trace: { type: 'string' },
        seed: { type: 'string', default: '1' },
        boot: { type: 'string', default: '75s' },
        slots: { type: 'string', default: '4' },
        job: { type: 'string', default: `${photoDurations.meanS}s` },
        spread: { type: 'string', default: String(photoDurations.sigma) },
        min: { type: 'string', default: String(workerLimits.min) },
        max: { type: 'string', default: String(workerLimits.max) },
        'on-demand': { type: 'string', default: '2' },
        price: { type: 'string', default: String(defaultPrices.onDemand) },
        'spot-price': { type: 'string', default: String(defaultPrices.spot) },
        interruptions: { type: 'string', default: String(defaultSpotMarket.interruptionsPerHour) },
        svg: { type: 'string', default: '.millrace' },
        search: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const [sentence] = error.message.split('. ')
    throw new OptionError(`${sentence?.replace(/\.$/, '')}; see --help.`)
  }
}

function parseWholeNumber(flag: string, text: string, minimum: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= minimum) return value
  throw new OptionError(`${flag} must be a whole number of at least ${minimum}, not "${text}".`)
}

function parseQuantity(flag: string, text: string): number {
  const value = Number(text)
  if (/^\d*\.?\d+$/.test(text) && Number.isFinite(value)) return value
  throw new OptionError(`${flag} must be a number of at least 0, not "${text}".`)
}

function parseSeconds(flag: string, text: string): number {
  const [, value = '', unit = ''] = /^(\d*\.?\d+)(ms|s|m)$/.exec(text) ?? []
  const factor = { ms: 0.001, s: 1, m: 60 }[unit]
  if (factor !== undefined && Number(value) > 0) return Number(value) * factor
  throw new OptionError(`${flag} must be a time such as 75s, 900ms or 2m, not "${text}".`)
}
