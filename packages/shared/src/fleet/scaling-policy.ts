import { fleetMetrics, publishPeriodMs } from './queue-load.ts'

/**
 * The scaling policy. On AWS, stacks/ turns these constants into scaling policies and alarms. The laptop and the
 * simulator run it as `decideFleetSize`. It contains only what EC2 Auto Scaling can do. The simulator found the
 * numbers (docs/scaling.md).
 */

/**
 * Adds a percentage of the instances in service while the last `periods` values are at or above `atLeast`. On AWS: a
 * step scaling policy (PercentChangeInCapacity, one step, MinAdjustmentMagnitude 1) with its own alarm. A higher step
 * therefore acts at once while a lower one is already in alarm.
 */
export type ScaleOutStep = {
  name: string
  metric: string
  atLeast: number
  periods: number
  percent: number
}

/**
 * Removes a percentage of the instances while the last `periods` values are at or below `atMost`. `steps` are sorted
 * from the highest value to the lowest; the first starts at `atMost`. The last step at or above the average of these
 * values applies. On AWS: one step scaling policy (MetricAggregationType Average) with one alarm.
 */
export type ScaleIn = {
  metric: string
  atMost: number
  periods: number
  steps: readonly { atMost: number; percent: number }[]
}

/**
 * Keeps a metric at `target` by adding instances when the last `periods` values are above it. Values are limited to
 * `cap`, since the length of the queue does not say how many slots it needs. On AWS: target tracking of
 * `cappedMetric()` with scale-in disabled, because AWS waits 15 periods before it scales in. AWS creates the alarm,
 * with 3 periods.
 */
export type Tracking = { metric: string; target: number; cap: number; periods: number }

export type ScalingPolicy = {
  /** Period of one value of a metric, in ms. */
  metricPeriodMs: number
  /**
   * How long a new instance does not count as in service, in ms. The metric's values may be from before it started,
   * and a percentage of more instances than they cover would be too much. On AWS: `estimatedInstanceWarmup`, which
   * starts when the launch hook completes, that is, when the worker takes jobs.
   */
  warmupMs: number
  /** How often a part of the policy may act, in ms. CloudWatch repeats the action of a lasting alarm once a minute. */
  repeatMs: number
  tracking?: Tracking | undefined
  scaleOut: readonly ScaleOutStep[]
  scaleIn: ScaleIn
}

/** The minimum and maximum number of instances of a tier. A minimum of 0 scales to zero. */
export type FleetLimits = { min: number; max: number }

const queueLoad = fleetMetrics.load.name
const demand = fleetMetrics.demand.name

/**
 * The worker tier. Queue load handles slow growth and all scale-in. Demand shows the size of a burst within one period,
 * which queue load cannot, since the queue grows as long as instances start (decision 0016).
 */
export const workerScaling = {
  metricPeriodMs: publishPeriodMs,
  warmupMs: 10_000,
  repeatMs: 60_000,
  tracking: { metric: queueLoad, target: 0.7, cap: 1, periods: 3 },
  scaleOut: [
    // Covers the demand at the target, and works off within about one boot time what queued up during one.
    { name: 'demand-1', metric: demand, atLeast: 1.1, periods: 1, percent: 150 },
    { name: 'demand-2', metric: demand, atLeast: 1.5, periods: 1, percent: 280 },
    { name: 'demand-3', metric: demand, atLeast: 2.1, periods: 1, percent: 470 },
    { name: 'demand-4', metric: demand, atLeast: 3, periods: 1, percent: 750 },
    { name: 'demand-5', metric: demand, atLeast: 4.2, periods: 1, percent: 1130 },
    { name: 'demand-6', metric: demand, atLeast: 6, periods: 1, percent: 1700 },
    { name: 'demand-7', metric: demand, atLeast: 8.5, periods: 1, percent: 2500 },
    { name: 'demand-8', metric: demand, atLeast: 12, periods: 1, percent: 3500 },
    // Jobs that take much longer than those before show in queue load earlier than in demand.
    { name: 'backlog', metric: queueLoad, atLeast: 3, periods: 30, percent: 100 },
    // An empty fleet. No percentage of it is an instance, so the minimum of one is added.
    { name: 'wake', metric: queueLoad, atLeast: 100, periods: 1, percent: 1 },
  ],
  scaleIn: {
    metric: queueLoad,
    atMost: 0.36,
    periods: 6,
    // Leaves the remaining instances with a queue load of 0.6.
    steps: [
      { atMost: 0.36, percent: 40 },
      { atMost: 0.27, percent: 55 },
      { atMost: 0.18, percent: 70 },
      { atMost: 0.09, percent: 85 },
    ],
  },
} as const satisfies ScalingPolicy

/** Defaults. A stage can set its own. */
export const workerLimits = { min: 2, max: 40 } as const satisfies FleetLimits

/** EC2's own metric, in percent. */
const cpu = 'CPUUtilization'

/** The API tier: scales out at CPU above 50 % for 2 minutes, in at CPU below 30 % for 5. */
export const apiScaling = {
  metricPeriodMs: 60_000,
  warmupMs: 60_000,
  repeatMs: 60_000,
  scaleOut: [{ name: 'busy', metric: cpu, atLeast: 50, periods: 2, percent: 50 }],
  scaleIn: { metric: cpu, atMost: 30, periods: 5, steps: [{ atMost: 30, percent: 10 }] },
} as const satisfies ScalingPolicy

export const apiLimits = { min: 2, max: 10 } as const satisfies FleetLimits

/**
 * Returns the metric math expression for target tracking.
 * @param id the metric's id in the same list of metric data queries
 */
export function cappedMetric({ cap }: Tracking, id: string): string {
  return `IF(${id} > ${cap}, ${cap}, ${id})`
}

/** The values of one period by metric name, and its end in ms since 1970. */
export type MetricPoint = { atMs: number; values: { readonly [metric: string]: number } }

/**
 * Numbers of instances: desired, running for at least `warmupMs`, and starting. Draining ones are not included.
 */
export type Fleet = { desired: number; inService: number; starting: number }

/** When each part of the policy last acted, by its name, in ms since 1970. */
export type LastActions = { readonly [name: string]: number }

/** A decision. `actions` is passed to the next call; `reason` is a sentence for people. */
export type FleetDecision = { desired: number; reason: string; actions: LastActions }

/** After this many periods without a value the fleet is not changed, as with an alarm without data. */
const maxMissingPeriods = 3

/** Returns how many points of history a policy needs. */
export function pointsNeeded({ tracking, scaleOut, scaleIn }: ScalingPolicy): number {
  return Math.max(scaleIn.periods, tracking?.periods ?? 0, ...scaleOut.map(({ periods }) => periods))
}

/**
 * Decides how many instances a tier should have, as EC2 Auto Scaling does:
 * - additions are computed from the instances in service; starting instances count as already added;
 * - nothing is removed while instances are starting;
 * - the largest of several results applies;
 * - each part acts at most once per `repeatMs`.
 *
 * @param history one point per period, oldest first, at least `pointsNeeded`
 * @param nowMs ms since 1970
 * @param actions returned by the previous call, `{}` at first
 * @returns a size that is always within the limits
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

  const decide = (desired: number, reason: string, acted: string[] = []): FleetDecision => {
    const bounded = Math.min(Math.max(desired, limits.min), limits.max)
    const now = Object.fromEntries(acted.map((name) => [name, nowMs]))
    return {
      desired: bounded,
      reason: bounded === desired ? reason : `${reason}; the limits are ${limits.min} to ${limits.max}`,
      actions: bounded === fleet.desired ? actions : { ...actions, ...now },
    }
  }
  const newest = history.at(-1)
  if (!newest || nowMs - newest.atMs > maxMissingPeriods * policy.metricPeriodMs) {
    return decide(fleet.desired, 'there is no recent value of the metric')
  }
  const describe = (metric: string) => `${metric} ${Number((newest.values[metric] ?? 0).toFixed(2))}`
  /** Whether the alarm is on. A missing value does not count as a breach. */
  const inAlarm = (
    { metric, periods }: { metric: string; periods: number },
    isBreach: (value: number) => boolean,
  ) =>
    history.length >= periods &&
    history.slice(-periods).every(({ values: { [metric]: value } }) => value !== undefined && isBreach(value))
  const mayAct = (name: string) => nowMs - (actions[name] ?? Number.NEGATIVE_INFINITY) >= policy.repeatMs

  const proposals: { name: string; desired: number; reason: string }[] = []
  for (const step of scaleOut) {
    const { name, metric, atLeast, percent } = step
    if (!mayAct(name) || !inAlarm(step, (value) => value >= atLeast)) continue
    const desired = fleet.inService + percentOf(fleet.inService, percent)
    proposals.push({ name, desired, reason: `${describe(metric)} is at least ${atLeast}: ${percent} % more` })
  }
  if (tracking && mayAct('tracking') && inAlarm(tracking, (value) => value > tracking.target)) {
    const { metric, target, cap } = tracking
    const desired = Math.ceil((fleet.inService * Math.min(newest.values[metric] ?? 0, cap)) / target)
    proposals.push({
      name: 'tracking',
      desired,
      reason: `${describe(metric)} is above the target of ${target}`,
    })
  }
  const [first, ...others] = proposals
  if (first) {
    const largest = others.reduce((best, next) => (next.desired > best.desired ? next : best), first)
    if (largest.desired <= fleet.desired) {
      return decide(fleet.desired, `${largest.reason}; enough are starting`)
    }
    const acted = proposals.map(({ name }) => name)
    return decide(largest.desired, largest.reason, acted)
  }

  if (!inAlarm(scaleIn, (value) => value <= scaleIn.atMost)) {
    return decide(fleet.desired, `${describe(scaleIn.metric)} is within bounds`)
  }
  const low = `${describe(scaleIn.metric)} is at most ${scaleIn.atMost}`
  if (fleet.starting > 0) return decide(fleet.desired, `${low}; some are still starting`)
  if (!mayAct('scale-in')) return decide(fleet.desired, `${low}; some were just removed`)
  const value = average(history.slice(-scaleIn.periods).map(({ values }) => values[scaleIn.metric] ?? 0))
  const percent = scaleIn.steps.findLast(({ atMost }) => value <= atMost)?.percent ?? 0
  const removed = Math.min(fleet.desired, percentOf(fleet.desired, percent))
  return decide(fleet.desired - removed, `${low}: ${percent} % less`, ['scale-in'])
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Returns a percentage of a fleet, rounded as Auto Scaling does: down, but at least one instance. */
function percentOf(instances: number, percent: number): number {
  return Math.max(1, Math.floor((instances * percent) / 100))
}
