import { parseArgs } from 'node:util'
import { workerLimits } from '@millrace/shared/fleet/scaling-policy.ts'
import { defaultPrices } from './simulation/prices.ts'
import type { Conditions } from './simulation/simulate.ts'
import { defaultSpotMarket } from './simulation/spot-market.ts'
import { photoDurations } from './traces/trace.ts'

export const usage = `Usage: npm run simulate -- [options]

  --trace NAME     burst, diurnal, flash-crowd, evening, or a CSV file (all four named ones)
  --seed N         other chance, same laws (1)
  --boot 75s       from the launch of a worker until it takes jobs
  --slots N        jobs that a worker has in its slots at once (4)
  --job 900ms      how long a job holds its slot, on average
  --spread X       σ of the logarithm of that (1); 0 makes all jobs equal
  --min N          how many workers there are at least (${workerLimits.min})
  --max N          and at most (${workerLimits.max})
  --on-demand N    how many of them are no Spot instances (2)
  --price X        dollars an hour, on demand (${defaultPrices.onDemand})
  --spot-price X   dollars an hour, Spot (${defaultPrices.spot})
  --interruptions X  how often a Spot instance is taken back, in times an hour (${defaultSpotMarket.interruptionsPerHour})
  --svg DIR        where a picture of each trace is drawn (.millrace)
  --search 60s     look for better numbers of the policy for so long
  --help           show this

A CSV file begins with the line \`arrived_s,duration_s\`, one job a line, or \`from_s,jobs_per_s\`, one rate a line.`

/** What is wrong with the command line, in one sentence. */
export class WrongOption extends Error {}

/**
 * Reads the command line.
 * @param parameters without the program's own name
 * @returns undefined when help is asked for
 * @throws WrongOption
 */
export function readOptions(parameters: string[]) {
  const values = parse(parameters)
  if (values.help) return undefined
  const min = wholeNumber('--min', values.min, 0)
  const conditions: Conditions = {
    seed: wholeNumber('--seed', values.seed, 0),
    bootS: seconds('--boot', values.boot),
    slotsPerWorker: wholeNumber('--slots', values.slots, 1),
    limits: { min, max: wholeNumber('--max', values.max, Math.max(1, min)) },
    onDemandBase: wholeNumber('--on-demand', values['on-demand'], 0),
    prices: {
      onDemand: quantity('--price', values.price),
      spot: quantity('--spot-price', values['spot-price']),
    },
    spot: { interruptionsPerHour: quantity('--interruptions', values.interruptions) },
  }
  return {
    trace: values.trace,
    conditions,
    durations: { meanS: seconds('--job', values.job), sigma: quantity('--spread', values.spread) },
    svgDirectory: values.svg,
    searchS: values.search === undefined ? undefined : seconds('--search', values.search),
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
    throw new WrongOption(`${sentence?.replace(/\.$/, '')}; --help lists the options.`)
  }
}

function wholeNumber(flag: string, text: string, minimum: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= minimum) return value
  throw new WrongOption(`${flag} takes a whole number from ${minimum} on, not "${text}".`)
}

function quantity(flag: string, text: string): number {
  const value = Number(text)
  if (/^\d*\.?\d+$/.test(text) && Number.isFinite(value)) return value
  throw new WrongOption(`${flag} takes a number that is not negative, not "${text}".`)
}

function seconds(flag: string, text: string): number {
  const [, value = '', unit = ''] = /^(\d*\.?\d+)(ms|s|m)$/.exec(text) ?? []
  const factor = { ms: 0.001, s: 1, m: 60 }[unit]
  if (factor !== undefined && Number(value) > 0) return Number(value) * factor
  throw new WrongOption(`${flag} takes a time like 75s, 900ms or 2m, not "${text}".`)
}
