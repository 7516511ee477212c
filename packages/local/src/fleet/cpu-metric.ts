import type { Heartbeats, Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { MetricPoint } from '@millrace/shared/fleet/scaling-policy.ts'

/**
 * Measures the CPU use of a tier as CloudWatch does for an Auto Scaling group: the average of all instances over
 * each period. Here an instance is a process, and 100 % is one core.
 *
 * @param deps.metric the metric's name
 * @param deps.periodMs the period of one point, in milliseconds
 * @param deps.maxPoints how many points to keep
 * @param deps.now milliseconds since 1970
 */
export function createCpuMetric(deps: {
  heartbeats: Pick<Heartbeats, 'list'>
  tier: Tier
  metric: string
  periodMs: number
  maxPoints: number
  now?: () => number
}) {
  const { heartbeats, tier, metric, periodMs, maxPoints, now = Date.now } = deps
  const points: MetricPoint[] = []
  let values: number[] = []
  let periodEndsAt = now() + periodMs

  /** Adds the current heartbeats to the period. @returns the points of completed periods, oldest first */
  return async function readCpu(): Promise<readonly MetricPoint[]> {
    const processes = await heartbeats.list()
    values.push(
      ...processes
        .filter((process) => process.tier === tier && process.state === 'serving')
        .map(({ cpuPercent }) => cpuPercent),
    )
    if (now() >= periodEndsAt) {
      if (values.length > 0) {
        const average = values.reduce((sum, value) => sum + value, 0) / values.length
        points.push({ atMs: now(), values: { [metric]: average } })
      }
      if (points.length > maxPoints) points.shift()
      values = []
      periodEndsAt = now() + periodMs
    }
    return points
  }
}
