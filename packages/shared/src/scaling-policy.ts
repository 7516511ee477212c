/**
 * The one scaling policy: AWS runs it as scaling policies and alarms that stacks/ makes of these constants, the
 * laptop and the simulator run it as `decideFleetSize`. So it holds nothing that EC2 Auto Scaling can't do. The
 * numbers are those that the simulator found (docs/scaling.md).
 */

/**
 * Adds a share of the instances in service while the last `periods` values are at or above `atLeast`. On AWS: a
 * step scaling policy (PercentChangeInCapacity) with one step, and an alarm of its own.
 */
export type ScaleOutStep = { name: string; atLeast: number; periods: number; percent: number }

/**
 * Removes a share of the instances while the last `periods` values are at or below `atMost`. `steps` run from
 * the highest value to the lowest; the first one starts at `atMost`. The last one that is at or above the newest
 * value counts. On AWS: one step scaling policy with one alarm.
 */
export type ScaleIn = {
  atMost: number
  periods: number
  steps: readonly { atMost: number; percent: number }[]
}

/**
 * Keeps the metric at `target` by adding instances, once the last `periods` values are above it. Values count
 * as `cap` at most: a queue of a thousand is no reason for a thousand slots, the steps answer it. On AWS: target
 * tracking of `cappedMetric()` with scale-in disabled, since AWS takes 15 periods or more to scale in.
 */
export type Tracking = { target: number; cap: number; periods: number }

export type ScalingPolicy = {
  /** One value of the metric is the average of this many ms. */
  metricPeriodMs: number
  /** How long a new instance takes until it works: `estimatedInstanceWarmup`. */
  warmupMs: number
  /** CloudWatch invokes the action of an alarm that stays in alarm once a minute. */
  repeatMs: number
  tracking?: Tracking | undefined
  scaleOut: readonly ScaleOutStep[]
  scaleIn: ScaleIn
}

/** How many instances a tier has at least and at most. A minimum of 0 scales to zero. */
export type FleetLimits = { min: number; max: number }

/** The worker tier's metric is `Load` (load-signal.ts). */
export const workerScaling = {
  metricPeriodMs: 10_000,
  warmupMs: 75_000,
  repeatMs: 60_000,
  tracking: { target: 0.7, cap: 1, periods: 3 },
  scaleOut: [
    { name: 'burst', atLeast: 1.5, periods: 1, percent: 100 },
    { name: 'flood', atLeast: 20, periods: 1, percent: 300 },
  ],
  scaleIn: {
    atMost: 0.5,
    periods: 6,
    steps: [
      { atMost: 0.5, percent: 20 },
      { atMost: 0.25, percent: 50 },
    ],
  },
} as const satisfies ScalingPolicy

/** Defaults; a stage sets its own. */
export const workerLimits = { min: 2, max: 40 } as const satisfies FleetLimits

/** The API tier's metric is the CPU's use in percent. More than 50 for 2 minutes, less than 30 for 5. */
export const apiScaling = {
  metricPeriodMs: 60_000,
  warmupMs: 75_000,
  repeatMs: 60_000,
  scaleOut: [{ name: 'busy', atLeast: 50, periods: 2, percent: 50 }],
  scaleIn: { atMost: 30, periods: 5, steps: [{ atMost: 30, percent: 10 }] },
} as const satisfies ScalingPolicy

export const apiLimits = { min: 2, max: 10 } as const satisfies FleetLimits

/**
 * The metric math of what target tracking tracks.
 * @param id the metric's id in the same list of metric data queries
 */
export function cappedMetric({ cap }: Tracking, id: string): string {
  return `IF(${id} > ${cap}, ${cap}, ${id})`
}

/** One value of the metric, by the end of its period in ms since 1970. */
export type MetricPoint = { atMs: number; value: number }

/** Instances: asked for, at work, and on their way. Draining ones are in neither. */
export type Fleet = { desired: number; inService: number; starting: number }

/** When each part of the policy last changed something, by its name; ms since 1970. */
export type LastActions = { readonly [name: string]: number }

/** What to do. `actions` is for the next call; `reason` is a sentence for people. */
export type FleetDecision = { desired: number; reason: string; actions: LastActions }

/** After this many periods without a value the fleet is left as it is, as an alarm would do that lacks data. */
const freshPeriods = 3

/**
 * Decides how many instances a tier should have, the way that EC2 Auto Scaling does it:
 * - what is added is reckoned from the instances in service, and those that are starting count as added already;
 * - nothing is removed while instances are starting;
 * - of several answers the largest wins;
 * - each part acts once in `repeatMs` at most.
 *
 * @param history values of the metric, oldest first; as many as the longest `periods` of the policy are enough
 * @param nowMs ms since 1970
 * @param actions what the last call returned, `{}` at first
 * @returns a size within the limits, always
 */
export function decideFleetSize(
  policy: ScalingPolicy,
  {
    history,
    nowMs,
    fleet,
    actions,
    limits,
  }: {
    history: readonly MetricPoint[]
    nowMs: number
    fleet: Fleet
    actions: LastActions
    limits: FleetLimits
  },
): FleetDecision {
  const settle = (desired: number, reason: string, acted: string[]): FleetDecision => {
    const bounded = Math.min(Math.max(desired, limits.min), limits.max)
    const changes = bounded !== fleet.desired
    return {
      desired: bounded,
      reason: bounded === desired ? reason : `${reason}; the limits are ${limits.min} to ${limits.max}`,
      actions: changes ? { ...actions, ...Object.fromEntries(acted.map((name) => [name, nowMs])) } : actions,
    }
  }
  const newest = history.at(-1)
  if (!newest || nowMs - newest.atMs > freshPeriods * policy.metricPeriodMs) {
    return settle(fleet.desired, 'there is no recent value of the metric', [])
  }
  const value = newest.value
  const shown = Number(value.toFixed(2))
  const last = (periods: number, breaches: (value: number) => boolean) =>
    history.length >= periods && history.slice(-periods).every((point) => breaches(point.value))
  const rested = (name: string) => {
    const at = actions[name]
    return at === undefined || nowMs - at >= policy.repeatMs
  }

  const answers: { desired: number; reason: string; name: string }[] = []
  for (const { name, atLeast, periods, percent } of policy.scaleOut) {
    if (!rested(name) || !last(periods, (each) => each >= atLeast)) continue
    const desired = fleet.inService + wholeShare(fleet.inService, percent)
    answers.push({ desired, name, reason: `${shown} is ${atLeast} or more (${name}: ${percent} % more)` })
  }
  const { tracking, scaleIn } = policy
  if (tracking && rested('tracking') && last(tracking.periods, (each) => each > tracking.target)) {
    const desired = Math.ceil((fleet.inService * Math.min(value, tracking.cap)) / tracking.target)
    answers.push({ desired, name: 'tracking', reason: `${shown} is above the target of ${tracking.target}` })
  }
  const largest = answers.reduce<(typeof answers)[number] | undefined>(
    (best, each) => (best && best.desired >= each.desired ? best : each),
    undefined,
  )
  if (largest && largest.desired > fleet.desired) {
    return settle(
      largest.desired,
      largest.reason,
      answers.map(({ name }) => name),
    )
  }
  if (largest) return settle(fleet.desired, `${largest.reason}; enough are starting`, [])

  if (!last(scaleIn.periods, (each) => each <= scaleIn.atMost)) {
    return settle(fleet.desired, `${shown} is within bounds`, [])
  }
  const low = `${shown} is ${scaleIn.atMost} or less`
  if (fleet.starting > 0) return settle(fleet.desired, `${low}; some are still starting`, [])
  if (!rested('scale-in')) return settle(fleet.desired, `${low}; some were just removed`, [])
  const step = scaleIn.steps.findLast(({ atMost }) => value <= atMost)
  const removed = step && fleet.desired > 0 ? wholeShare(fleet.desired, step.percent) : 0
  return settle(fleet.desired - removed, `${low} (${step?.percent ?? 0} % less)`, ['scale-in'])
}

/** A percentage of a fleet as Auto Scaling rounds it: down, but one instance at least. */
function wholeShare(instances: number, percent: number): number {
  return Math.max(1, Math.floor((instances * percent) / 100))
}
