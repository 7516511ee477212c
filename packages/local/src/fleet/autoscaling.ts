import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createFleetJournal, type QueueLoadPoint } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import {
  apiScaling,
  type FleetLimits,
  type MetricPoint,
  pointsNeeded,
  workerScaling,
} from '@millrace/shared/fleet/scaling-policy.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { acceleratePolicy, createAutoscaler } from './autoscaler.ts'
import { createCpuMetric } from './cpu-metric.ts'
import type { ServiceFleet } from './service-fleet.ts'

/**
 * Scales each tier whose limits differ: workers by queue load and demand, API instances by CPU.
 *
 * @param options.speed how many times as fast as on AWS
 * @returns `close()`
 */
export function startAutoscaling(options: {
  redisUrl: string
  prefix: string
  speed: number
  workers: { fleet: ServiceFleet; limits: FleetLimits }
  api: { fleet: ServiceFleet; limits: FleetLimits }
  print: (line: string) => void
}) {
  const { prefix, speed, print, workers, api } = options
  const isScaled = ({ limits }: { limits: FleetLimits }) => limits.min < limits.max
  if (![workers, api].some(isScaled)) return { close: async () => {} }
  // Redis errors are reported by the Redis supervisor.
  const redis = connectRedis(options.redisUrl, createLog({ level: 'silent', instance: 'autoscaler' }))
  const heartbeats = createHeartbeats({ redis, prefix })
  const journal = createFleetJournal({ redis, prefix })
  const apiPolicy = acceleratePolicy(apiScaling, speed)
  const autoscalers = [
    createAutoscaler({
      ...workers,
      tier: 'worker',
      policy: acceleratePolicy(workerScaling, speed),
      readMetrics: async () => (await journal.points()).reverse().map(toMetricPoint),
      journal,
      print,
    }),
    createAutoscaler({
      ...api,
      tier: 'api',
      policy: apiPolicy,
      readMetrics: createCpuMetric({
        heartbeats,
        tier: 'api',
        metric: apiScaling.scaleIn.metric,
        periodMs: apiPolicy.metricPeriodMs,
        maxPoints: pointsNeeded(apiPolicy),
      }),
      journal,
      print,
    }),
  ].filter((_, index) => isScaled(index === 0 ? workers : api))
  for (const autoscaler of autoscalers) autoscaler.start()
  return {
    async close(): Promise<void> {
      await Promise.all(autoscalers.map((autoscaler) => autoscaler.stop()))
      redis.disconnect()
    },
  }
}

function toMetricPoint({ at, load, demand }: QueueLoadPoint): MetricPoint {
  return {
    atMs: Date.parse(at),
    values: { [fleetMetrics.load.name]: load, [fleetMetrics.demand.name]: demand },
  }
}
