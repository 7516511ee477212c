import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import { type ScalingPolicy, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import type { Options } from './options.ts'
import { goal, measureAgainst } from './report/goal.ts'
import { type Summary, summarize } from './report/summary.ts'
import { oracle, ours } from './scaler-setups.ts'
import { simulate } from './simulation/simulate.ts'
import { countBursts } from './traces/count-bursts.ts'
import { createRandom } from './traces/random.ts'
import type { Trace } from './traces/trace.ts'
import { findTrace } from './traces/traces.ts'

/** Each number of the policy that is searched for, and what it may be. */
const space = {
  /** The demand of the first step. */
  first: [0.9, 1, 1.1, 1.2],
  /** Of each step to the one before. */
  ratio: [1.25, 1.4, 1.5],
  /** By how much the demand may be above that of its step. */
  above: [1, 1.1, 1.2, 1.3, 1.4],
  /** Of the work that queues up during a boot, how much is worked off within another one. */
  drain: [0, 0.5, 1, 1.5, 2, 3],
  inAt: [0.3, 0.34, 0.36, 0.38, 0.4, 0.45],
  inPeriods: [5, 6, 7, 9, 12],
  /** The load that scaling in leaves the others with. */
  inTo: [0.5, 0.55, 0.6, 0.65, 0.7],
}
type Space = typeof space
type Numbers = { [Name in keyof Space]: number }

/** How many seeds a policy is tried with: one would be fitted to its chance. */
const seedsTried = 3
/** How likely a number stays that of the best so far. */
const stay = 0.65
const highestDemand = 13

type Case = { trace: Trace; bursts: number; best: Summary }

/** The policy that these numbers stand for. */
function policyOf({ first, ratio, above, drain, inAt, inPeriods, inTo }: Numbers) {
  const scaleOut: ScalingPolicy['scaleOut'][number][] = []
  for (let atLeast = first; atLeast < highestDemand; atLeast *= ratio) {
    const demand = atLeast * above
    const wanted = demand / workerScaling.tracking.target + drain * Math.max(0, demand - 1)
    const percent = Math.round(100 * (wanted - 1))
    const name = `demand-${scaleOut.length + 1}`
    scaleOut.push({ name, metric: fleetMetrics.demand.name, atLeast, periods: 1, percent })
  }
  const rest = workerScaling.scaleOut.filter(({ metric }) => metric !== fleetMetrics.demand.name)
  const steps = [1, 0.75, 0.5, 0.25].map((part) => ({
    atMost: part * inAt,
    percent: Math.max(1, Math.floor(100 * (1 - (part * inAt) / inTo))),
  }))
  const scaleIn = { metric: fleetMetrics.load.name, atMost: inAt, periods: inPeriods, steps }
  return { ...workerScaling, scaleOut: [...scaleOut, ...rest], scaleIn } satisfies ScalingPolicy
}

/**
 * Looks for numbers of the policy at random, most of them those of the best so far, and says each that is better:
 * one whose worst measure, over all traces and seeds, is less of what the goal allows.
 */
export function searchPolicy(
  names: string[],
  { conditions, durations }: Options,
  forS: number,
  say: (text: string) => void,
): void {
  const { limits } = conditions
  const cases: Case[] = names.flatMap((name) =>
    Array.from({ length: seedsTried }, (_, index) => {
      const trace = findTrace(name, { seed: conditions.seed + index, durations })
      const best = summarize(simulate(trace, oracle(limits).scaler, conditions))
      return { trace, bursts: countBursts(trace), best }
    }),
  )
  const random = createRandom(conditions.seed)
  const anyOf = (values: readonly number[]) => values[Math.floor(random.uniform() * values.length)] ?? 0

  /** How much of what the goal allows is used, at worst; more than `limit` is enough to know. */
  function worst(policy: ScalingPolicy, limit: number): number {
    let most = 0
    for (const { trace, bursts, best } of cases) {
      const summary = summarize(simulate(trace, ours(limits, policy).scaler, conditions))
      const { waitRatio, costRatio, turnsPerBurst } = measureAgainst(best, summary, bursts)
      const turns = turnsPerBurst / goal.turnsPerBurst
      most = Math.max(most, waitRatio / goal.waitRatio, costRatio / goal.costRatio, turns)
      if (most > limit) break
    }
    return most
  }

  let best: { used: number; numbers?: Numbers } = { used: worst(workerScaling, Number.POSITIVE_INFINITY) }
  say(`The policy as it is uses ${(100 * best.used).toFixed(1)} % of what the goal allows.`)
  const endMs = performance.now() + 1000 * forS
  while (performance.now() < endMs) {
    const choose = (name: keyof Space) => {
      const kept = best.numbers?.[name]
      return kept !== undefined && random.uniform() < stay ? kept : anyOf(space[name])
    }
    const numbers: Numbers = {
      first: choose('first'),
      ratio: choose('ratio'),
      above: choose('above'),
      drain: choose('drain'),
      inAt: choose('inAt'),
      inPeriods: choose('inPeriods'),
      inTo: choose('inTo'),
    }
    const used = worst(policyOf(numbers), best.used)
    if (used >= best.used) continue
    best = { used, numbers }
    say(`${(100 * used).toFixed(1)} %: ${JSON.stringify(numbers)}`)
  }
}
