import type { FleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import {
  decideFleetSize,
  type FleetLimits,
  type LastActions,
  type MetricPoint,
  type ScalingPolicy,
} from '@millrace/shared/fleet/scaling-policy.ts'
import type { ServiceFleet } from './service-fleet.ts'

const tierNames = { api: 'API instances', worker: 'workers' } satisfies Record<Tier, string>

/** The longest time between two evaluations, in milliseconds. CloudWatch's alarms need one period to react. */
const maxEvaluationPeriodMs = 1_000

/**
 * Local equivalent of EC2 Auto Scaling: resizes a tier according to the policy, and prints every change with its
 * reason.
 *
 * @param deps.readMetrics returns values of the policy's metrics, oldest first
 * @param deps.now milliseconds since 1970
 */
export function createAutoscaler(deps: {
  tier: Tier
  policy: ScalingPolicy
  limits: FleetLimits
  fleet: Pick<ServiceFleet, 'size' | 'resize'>
  readMetrics: () => Promise<readonly MetricPoint[]>
  journal: Pick<FleetJournal, 'setScaling' | 'addDecision'>
  print: (line: string) => void
  now?: () => number
}) {
  const { tier, policy, limits, fleet, journal, print, now = Date.now } = deps
  let actions: LastActions = {}
  let timer: NodeJS.Timeout | undefined
  let evaluation: Promise<void> | undefined
  let failing = false

  /** Evaluates the policy once and resizes the fleet if necessary. */
  async function evaluate(): Promise<void> {
    const history = await deps.readMetrics()
    const nowMs = now()
    const size = fleet.size()
    const decision = decideFleetSize(policy, { history, nowMs, fleet: size, actions, limits })
    actions = decision.actions
    const { desired, reason } = decision
    const at = new Date(nowMs).toISOString()
    if (desired !== size.desired) {
      print(`Autoscaler: ${tierNames[tier]} ${size.desired} → ${desired}. ${reason}.`)
      fleet.resize(desired)
      await journal.addDecision({ at, tier, from: size.desired, to: desired, reason })
    }
    await journal.setScaling({ tier, at, ...limits, ...fleet.size(), reason })
  }

  /** Starts an evaluation unless one is running. Prints the first error of a series only. */
  function evaluateIfIdle(): void {
    evaluation ??= evaluate()
      .then(
        () => {
          failing = false
        },
        (error) => {
          if (!failing) print(`Autoscaler: ${error instanceof Error ? error.message : error}`)
          failing = true
        },
      )
      .finally(() => {
        evaluation = undefined
      })
  }

  return {
    evaluate,
    start(): void {
      timer = setInterval(evaluateIfIdle, Math.min(maxEvaluationPeriodMs, policy.metricPeriodMs))
    },
    async stop(): Promise<void> {
      clearInterval(timer)
      await evaluation
    },
  }
}

export type Autoscaler = ReturnType<typeof createAutoscaler>

/**
 * Returns the same policy with all times divided by `speed`; thresholds and percentages do not change. A local
 * process starts within a second or two, an EC2 instance takes more than a minute.
 *
 * @param speed how many times as fast as on AWS
 */
export function acceleratePolicy(policy: ScalingPolicy, speed: number): ScalingPolicy {
  return {
    ...policy,
    metricPeriodMs: policy.metricPeriodMs / speed,
    warmupMs: policy.warmupMs / speed,
    repeatMs: policy.repeatMs / speed,
  }
}
