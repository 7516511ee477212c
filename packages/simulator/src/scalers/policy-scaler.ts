import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import {
  decideFleetSize,
  type LastActions,
  type MetricPoint,
  pointsNeeded,
  type ScalingPolicy,
} from '@millrace/shared/fleet/scaling-policy.ts'
import { averages } from './averages.ts'
import type { FleetPoint } from './fleet-metrics.ts'
import type { Scaler } from './scaler.ts'

/**
 * Runs a scaling policy of packages/shared.
 * @param delayS from the end of a period until an alarm has acted on it, in seconds: publishing and evaluation
 */
export function createPolicyScaler(name: string, policy: ScalingPolicy, delayS: number): Scaler {
  const periodS = policy.metricPeriodMs / 1000
  const pointCount = pointsNeeded(policy)
  let actions: LastActions = {}
  return {
    name,
    periodS,
    delayS,
    decide({ nowS, points, desired, inService, starting, inServiceFor, limits }) {
      const warm = inServiceFor(policy.warmupMs / 1000)
      const decision = decideFleetSize(policy, {
        history: averages(points, periodS, pointCount).map(metricPoint),
        nowMs: nowS * 1000,
        fleet: { desired, inService: warm, starting: inService + starting - warm },
        actions,
        limits,
      })
      actions = decision.actions
      return decision.desired
    },
  }
}

function metricPoint({ atS, load, demand, busyShare }: FleetPoint): MetricPoint {
  return {
    atMs: atS * 1000,
    values: {
      [fleetMetrics.load.name]: load,
      [fleetMetrics.demand.name]: demand,
      CPUUtilization: 100 * busyShare,
    },
  }
}
