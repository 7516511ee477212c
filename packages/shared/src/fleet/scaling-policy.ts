import { fleetMetrics, publishPeriodMs } from './queue-load.ts'

/**
 * The one scaling policy: AWS runs it as scaling policies and alarms that stacks/ makes of these constants, the
 * laptop and the simulator run it as `decideFleetSize`. So it holds nothing that EC2 Auto Scaling can't do. The
 * numbers are those that the simulator found (docs/scaling.md).
 */

/**
 * Adds a share of the instances in service while the last `periods` values are at or above `atLeast`. On AWS: a
 * step scaling policy (PercentChangeInCapacity, one step, MinAdjustmentMagnitude 1) and an alarm of its own, so
 * that a higher one acts at once while a lower one is in alarm already.
 */
export type ScaleOutStep = {
  name: string
  metric: string
  atLeast: number
  periods: number
  percent: number
}

/**
 * Removes a share of the instances while the last `periods` values are at or below `atMost`. `steps` run from
 * the highest value to the lowest; the first one starts at `atMost`. The last one that is at or above the average
 * of these values counts. On AWS: one step scaling policy (MetricAggregationType Average) with one alarm.
 */
export type ScaleIn = {
  metric: string
  atMost: number
  periods: number
  steps: readonly { atMost: number; percent: number }[]
}

/**
 * Keeps a metric at `target` by adding instances, once the last `periods` values are above it. Values count as
 * `cap` at most: how long the queue is says nothing of how many slots it needs. On AWS: target tracking of
 * `cappedMetric()` with scale-in disabled, since AWS waits for 15 periods before it scales in. The alarm is
 * made by AWS, and 3 periods are what it makes.
 */
export type Tracking = { metric: string; target: number; cap: number; periods: number }

export type ScalingPolicy = {
  /** One value of a metric is the average of this many ms. */
  metricPeriodMs: number
  /**
   * For how long an instance at work does not count as in service yet: values of the metric may be from before it
   * came, and a share of more instances than they speak of would be too much. `estimatedInstanceWarmup`, which
   * begins when the launch's lifecycle hook ends, and that is when the worker takes jobs.
   */
  warmupMs: number
  /** CloudWatch invokes the action of an alarm that stays in alarm once a minute. */
  repeatMs: number
  tracking?: Tracking | undefined
  scaleOut: readonly ScaleOutStep[]
  scaleIn: ScaleIn
}

/** How many instances a tier has at least and at most. A minimum of 0 scales to zero. */
export type FleetLimits = { min: number; max: number }

const load = fleetMetrics.load.name
const demand = fleetMetrics.demand.name

/**
 * The worker tier. Load follows slow changes up and all changes down; Demand tells within one period how large a
 * burst is, which Load does not: a queue grows the longer for the longer instances take to start.
 */
export const workerScaling = {
  metricPeriodMs: publishPeriodMs,
  warmupMs: 10_000,
  repeatMs: 60_000,
  tracking: { metric: load, target: 0.7, cap: 1, periods: 3 },
  scaleOut: [
    // Enough for the demand at the target, and to work off in about one boot what queues up during one.
    { name: 'demand-1', metric: demand, atLeast: 1.1, periods: 1, percent: 150 },
    { name: 'demand-2', metric: demand, atLeast: 1.5, periods: 1, percent: 280 },
    { name: 'demand-3', metric: demand, atLeast: 2.1, periods: 1, percent: 470 },
    { name: 'demand-4', metric: demand, atLeast: 3, periods: 1, percent: 750 },
    { name: 'demand-5', metric: demand, atLeast: 4.2, periods: 1, percent: 1130 },
    { name: 'demand-6', metric: demand, atLeast: 6, periods: 1, percent: 1700 },
    { name: 'demand-7', metric: demand, atLeast: 8.5, periods: 1, percent: 2500 },
    { name: 'demand-8', metric: demand, atLeast: 12, periods: 1, percent: 3500 },
    // Jobs that take far longer than those before them show in Load before they do in Demand.
    { name: 'backlog', metric: load, atLeast: 3, periods: 30, percent: 100 },
    // An empty fleet, of which no share is an instance: one is added at least.
    { name: 'wake', metric: load, atLeast: 100, periods: 1, percent: 1 },
  ],
  scaleIn: {
    metric: load,
    atMost: 0.36,
    periods: 6,
    // As many as leave the rest with a load of 0.6.
    steps: [
      { atMost: 0.36, percent: 40 },
      { atMost: 0.27, percent: 55 },
      { atMost: 0.18, percent: 70 },
      { atMost: 0.09, percent: 85 },
    ],
  },
} as const satisfies ScalingPolicy

/** Defaults; a stage sets its own. */
export const workerLimits = { min: 2, max: 40 } as const satisfies FleetLimits

/** EC2's own metric, in percent. */
const cpu = 'CPUUtilization'

/** The API tier. CPU above 50 % for 2 minutes, below 30 % for 5. */
export const apiScaling = {
  metricPeriodMs: 60_000,
  warmupMs: 60_000,
  repeatMs: 60_000,
  scaleOut: [{ name: 'busy', metric: cpu, atLeast: 50, periods: 2, percent: 50 }],
  scaleIn: { metric: cpu, atMost: 30, periods: 5, steps: [{ atMost: 30, percent: 10 }] },
} as const satisfies ScalingPolicy

export const apiLimits = { min: 2, max: 10 } as const satisfies FleetLimits

/**
 * The metric math of what target tracking tracks.
 * @param id the metric's id in the same list of metric data queries
 */
export function cappedMetric({ cap }: Tracking, id: string): string {
  return `IF(${id} > ${cap}, ${cap}, ${id})`
}

/** Values of one period, by the metric's name, and when it ended, in ms since 1970. */
export type MetricPoint = { atMs: number; values: { readonly [metric: string]: number } }

/**
 * Instances: asked for; at work for `warmupMs` at least; and on their way there. Draining ones are in neither.
 */
export type Fleet = { desired: number; inService: number; starting: number }

/** When each part of the policy last changed something, by its name; ms since 1970. */
export type LastActions = { readonly [name: string]: number }

/** What to do. `actions` is for the next call; `reason` is a sentence for people. */
export type FleetDecision = { desired: number; reason: string; actions: LastActions }

/** After this many periods without a value the fleet is left as it is, as an alarm would do that lacks data. */
const freshPeriods = 3

/** How many points of history a policy looks back at. */
export function pointsNeeded({ tracking, scaleOut, scaleIn }: ScalingPolicy): number {
  return Math.max(scaleIn.periods, tracking?.periods ?? 0, ...scaleOut.map(({ periods }) => periods))
}

/**
 * Decides how many instances a tier should have, the way that EC2 Auto Scaling does it:
 * - what is added is reckoned from the instances in service, and those that are starting count as added already;
 * - nothing is removed while instances are starting;
 * - of several answers the largest wins;
 * - each part acts once in `repeatMs` at most.
 *
 * @param history one point a period, oldest first; `pointsNeeded` of them are enough
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
  const { tracking, scaleOut, scaleIn } = policy

  const settle = (desired: number, reason: string, acted: string[] = []): FleetDecision => {
    const bounded = Math.min(Math.max(desired, limits.min), limits.max)
    const now = Object.fromEntries(acted.map((name) => [name, nowMs]))
    return {
      desired: bounded,
      reason: bounded === desired ? reason : `${reason}; the limits are ${limits.min} to ${limits.max}`,
      actions: bounded === fleet.desired ? actions : { ...actions, ...now },
    }
  }
  const newest = history.at(-1)
  if (!newest || nowMs - newest.atMs > freshPeriods * policy.metricPeriodMs) {
    return settle(fleet.desired, 'there is no recent value of the metric')
  }
  const shown = (metric: string) => `${metric} ${Number((newest.values[metric] ?? 0).toFixed(2))}`
  /** Whether the alarm is on. A value that is missing breaches nothing. */
  const breached = (
    { metric, periods }: { metric: string; periods: number },
    by: (value: number) => boolean,
  ) =>
    history.length >= periods &&
    history.slice(-periods).every(({ values: { [metric]: value } }) => value !== undefined && by(value))
  const rested = (name: string) => nowMs - (actions[name] ?? Number.NEGATIVE_INFINITY) >= policy.repeatMs

  const answers: { name: string; desired: number; reason: string }[] = []
  for (const step of scaleOut) {
    const { name, metric, atLeast, percent } = step
    if (!rested(name) || !breached(step, (value) => value >= atLeast)) continue
    const desired = fleet.inService + wholeShare(fleet.inService, percent)
    answers.push({ name, desired, reason: `${shown(metric)} is at least ${atLeast}: ${percent} % more` })
  }
  if (tracking && rested('tracking') && breached(tracking, (value) => value > tracking.target)) {
    const { metric, target, cap } = tracking
    const desired = Math.ceil((fleet.inService * Math.min(newest.values[metric] ?? 0, cap)) / target)
    answers.push({ name: 'tracking', desired, reason: `${shown(metric)} is above the target of ${target}` })
  }
  const [first, ...others] = answers
  if (first) {
    const largest = others.reduce((best, each) => (each.desired > best.desired ? each : best), first)
    if (largest.desired <= fleet.desired) {
      return settle(fleet.desired, `${largest.reason}; enough are starting`)
    }
    const acted = answers.map(({ name }) => name)
    return settle(largest.desired, largest.reason, acted)
  }

  if (!breached(scaleIn, (value) => value <= scaleIn.atMost)) {
    return settle(fleet.desired, `${shown(scaleIn.metric)} is within bounds`)
  }
  const low = `${shown(scaleIn.metric)} is at most ${scaleIn.atMost}`
  if (fleet.starting > 0) return settle(fleet.desired, `${low}; some are still starting`)
  if (!rested('scale-in')) return settle(fleet.desired, `${low}; some were just removed`)
  const value = average(history.slice(-scaleIn.periods).map(({ values }) => values[scaleIn.metric] ?? 0))
  const percent = scaleIn.steps.findLast(({ atMost }) => value <= atMost)?.percent ?? 0
  const removed = Math.min(fleet.desired, wholeShare(fleet.desired, percent))
  return settle(fleet.desired - removed, `${low}: ${percent} % less`, ['scale-in'])
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** A percentage of a fleet as Auto Scaling rounds it: down, but one instance at least. */
function wholeShare(instances: number, percent: number): number {
  return Math.max(1, Math.floor((instances * percent) / 100))
}
