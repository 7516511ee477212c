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

const namesOfTiers = { api: 'API instances', worker: 'workers' } satisfies Record<Tier, string>

/** How often the fleet is looked at, in milliseconds. CloudWatch's alarms take a period to notice. */
const lookMs = 1_000

/**
 * Stands for EC2 Auto Scaling: keeps a tier as large as the policy says, and tells every change with its reason.
 *
 * @param deps.readMetrics values of the policy's metrics, oldest first
 * @param deps.now milliseconds since 1970
 */
export function createAutoscaler(deps: {
  tier: Tier
  policy: ScalingPolicy
  limits: FleetLimits
  fleet: Pick<ServiceFleet, 'size' | 'resize'>
  readMetrics: () => Promise<readonly MetricPoint[]>
  journal: Pick<FleetJournal, 'setScaling' | 'addDecision'>
  say: (line: string) => void
  now?: () => number
}) {
  const { tier, policy, limits, fleet, journal, say, now = Date.now } = deps
  let actions: LastActions = {}
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | undefined
  let failing = false

  /** Looks once, and does what is to be done. */
  async function look(): Promise<void> {
    const history = await deps.readMetrics()
    const nowMs = now()
    const size = fleet.size()
    const decision = decideFleetSize(policy, { history, nowMs, fleet: size, actions, limits })
    actions = decision.actions
    const { desired, reason } = decision
    const at = new Date(nowMs).toISOString()
    if (desired !== size.desired) {
      say(`Autoscaler: ${namesOfTiers[tier]} ${size.desired} → ${desired}. ${reason}.`)
      fleet.resize(desired)
      await journal.addDecision({ at, tier, from: size.desired, to: desired, reason })
    }
    await journal.setScaling({ tier, at, ...limits, ...fleet.size(), reason })
  }

  function lookUnlessLooking(): void {
    looking ??= look()
      .then(
        () => {
          failing = false
        },
        (error) => {
          if (!failing) say(`Autoscaler: ${error instanceof Error ? error.message : error}`)
          failing = true
        },
      )
      .finally(() => {
        looking = undefined
      })
  }

  return {
    look,
    start(): void {
      timer = setInterval(lookUnlessLooking, Math.min(lookMs, policy.metricPeriodMs))
    },
    async stop(): Promise<void> {
      clearInterval(timer)
      await looking
    },
  }
}

export type Autoscaler = ReturnType<typeof createAutoscaler>

/**
 * The same policy on a faster clock: a process is there within a second or two, an instance takes more than a
 * minute. Nothing but time changes.
 *
 * @param speed how many times as fast
 */
export function acceleratePolicy(policy: ScalingPolicy, speed: number): ScalingPolicy {
  return {
    ...policy,
    metricPeriodMs: policy.metricPeriodMs / speed,
    warmupMs: policy.warmupMs / speed,
    repeatMs: policy.repeatMs / speed,
  }
}
