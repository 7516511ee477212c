import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import { type ScalingPolicy, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import type { Options } from './options.ts'
import { compareWithReference, goal } from './report/goal.ts'
import { type Summary, summarize } from './report/summary.ts'
import { millraceSetup, referenceSetup } from './scaler-setups.ts'
import { simulate } from './simulation/simulate.ts'
import { countBursts } from './traces/count-bursts.ts'
import { createRandom } from './traces/random.ts'
import type { Trace } from './traces/trace.ts'
import { findTrace } from './traces/traces.ts'

/** The numbers of the policy to search for, each with its candidate values. */
const space = {
  /** The demand of the first step. */
  firstStep: [0.9, 1, 1.1, 1.2],
  /** Demand of each step ÷ demand of the step before. */
  stepRatio: [1.25, 1.4, 1.5],
  /** The demand that a step is sized for ÷ the demand that starts the step. */
  headroom: [1, 1.1, 1.2, 1.3, 1.4],
  /** How much of the backlog of one boot delay is processed within another one. */
  backlogShare: [0, 0.5, 1, 1.5, 2, 3],
  /** The load at or below which the fleet shrinks. */
  scaleInAt: [0.3, 0.34, 0.36, 0.38, 0.4, 0.45],
  /** For how many periods the load must be that low. */
  scaleInPeriods: [5, 6, 7, 9, 12],
  /** The load of the remaining workers after scale-in. */
  scaleInTo: [0.5, 0.55, 0.6, 0.65, 0.7],
}
type Space = typeof space
type Numbers = { [Name in keyof Space]: number }

/** How many seeds each policy runs with. With one seed, the numbers would fit its random values only. */
const seedCount = 3
/** The probability that a number keeps its value from the best policy so far. */
const keepProbability = 0.65
const maxDemand = 13

type Case = { trace: Trace; bursts: number; reference: Summary }

/** Builds a policy from these numbers. */
function buildPolicy(numbers: Numbers) {
  const { firstStep, stepRatio, headroom, backlogShare, scaleInAt, scaleInPeriods, scaleInTo } = numbers
  const scaleOut: ScalingPolicy['scaleOut'][number][] = []
  for (let atLeast = firstStep; atLeast < maxDemand; atLeast *= stepRatio) {
    const demand = atLeast * headroom
    const growth = demand / workerScaling.tracking.target + backlogShare * Math.max(0, demand - 1)
    const percent = Math.round(100 * (growth - 1))
    const name = `demand-${scaleOut.length + 1}`
    scaleOut.push({ name, metric: fleetMetrics.demand.name, atLeast, periods: 1, percent })
  }
  const otherSteps = workerScaling.scaleOut.filter(({ metric }) => metric !== fleetMetrics.demand.name)
  const steps = [1, 0.75, 0.5, 0.25].map((share) => ({
    atMost: share * scaleInAt,
    percent: Math.max(1, Math.floor(100 * (1 - (share * scaleInAt) / scaleInTo))),
  }))
  const scaleIn = { metric: fleetMetrics.load.name, atMost: scaleInAt, periods: scaleInPeriods, steps }
  return { ...workerScaling, scaleOut: [...scaleOut, ...otherSteps], scaleIn } satisfies ScalingPolicy
}

/**
 * Random search for better numbers of the policy. Most numbers of a candidate come from the best policy so far.
 * Prints each improvement. A policy is better if it uses a smaller share of what the goal allows, in its worst
 * measure over all traces and seeds.
 * @param forS how long to search, in seconds
 */
export function searchPolicy(
  names: string[],
  { conditions, durations }: Options,
  forS: number,
  print: (text: string) => void,
): void {
  const { limits } = conditions
  const cases: Case[] = names.flatMap((name) =>
    Array.from({ length: seedCount }, (_, index) => {
      const trace = findTrace(name, { seed: conditions.seed + index, durations })
      const reference = summarize(simulate(trace, referenceSetup(limits).scaler, conditions))
      return { trace, bursts: countBursts(trace), reference }
    }),
  )
  const random = createRandom(conditions.seed)
  const anyOf = (values: readonly number[]) => values[Math.floor(random.uniform() * values.length)] ?? 0

  /** Returns the largest share of the goal that a policy uses in any case. Stops early above `limit`. */
  function goalUsage(policy: ScalingPolicy, limit: number): number {
    let max = 0
    for (const { trace, bursts, reference } of cases) {
      const summary = summarize(simulate(trace, millraceSetup(limits, policy).scaler, conditions))
      const { waitRatio, costRatio, changesPerBurst } = compareWithReference(reference, summary, bursts)
      const changes = changesPerBurst / goal.changesPerBurst
      max = Math.max(max, waitRatio / goal.waitRatio, costRatio / goal.costRatio, changes)
      if (max > limit) break
    }
    return max
  }

  let best: { used: number; numbers?: Numbers } = { used: goalUsage(workerScaling, Number.POSITIVE_INFINITY) }
  print(`The current policy uses ${(100 * best.used).toFixed(1)} % of what the goal allows.`)
  const endMs = performance.now() + 1000 * forS
  while (performance.now() < endMs) {
    const choose = (name: keyof Space) => {
      const current = best.numbers?.[name]
      return current !== undefined && random.uniform() < keepProbability ? current : anyOf(space[name])
    }
    const numbers: Numbers = {
      firstStep: choose('firstStep'),
      stepRatio: choose('stepRatio'),
      headroom: choose('headroom'),
      backlogShare: choose('backlogShare'),
      scaleInAt: choose('scaleInAt'),
      scaleInPeriods: choose('scaleInPeriods'),
      scaleInTo: choose('scaleInTo'),
    }
    const used = goalUsage(buildPolicy(numbers), best.used)
    if (used >= best.used) continue
    best = { used, numbers }
    print(`${(100 * used).toFixed(1)} %: ${JSON.stringify(numbers)}`)
  }
}
