import type { Logger } from 'pino'
import { type Heartbeat, type Heartbeats, heartbeatMs, type Tier } from './heartbeats.ts'
import type { RecentActivity } from './recent-activity.ts'

/**
 * Publishes this process's heartbeat every second.
 *
 * @param deps.slots number of concurrent jobs; 0 for the API
 */
export function createHeartbeatSchedule(deps: {
  heartbeats: Heartbeats
  id: string
  tier: Tier
  version: string
  slots: number
  activity: RecentActivity
  log: Pick<Logger, 'warn'>
}) {
  const { heartbeats, id, tier, version, slots, activity, log } = deps
  const since = new Date(Date.now() - process.uptime() * 1000).toISOString()
  let state: Heartbeat['state'] = 'serving'
  let lastCpu = process.cpuUsage()
  let lastCpuAtMs = performance.now()
  let timer: NodeJS.Timeout | undefined
  let publishing: Promise<void> | undefined
  let failing = false

  async function publish(): Promise<void> {
    const { rss } = process.memoryUsage()
    try {
      await heartbeats.publish({
        id,
        tier,
        state,
        since,
        version,
        cpuPercent: cpuSinceLast(),
        rssBytes: rss,
        slots,
        busy: activity.active(),
        perSecond: activity.perSecond(),
        errorsPerMinute: activity.errorsPerMinute(),
        latency: activity.latency(),
      })
      failing = false
    } catch (error) {
      // Logs an outage of Redis once, not every second.
      if (!failing) log.warn({ err: error, event: 'heartbeat-failed' }, 'heartbeat')
      failing = true
    }
  }

  function cpuSinceLast(): number {
    const nowMs = performance.now()
    const { user, system } = process.cpuUsage(lastCpu)
    const share = (user + system) / 1000 / Math.max(1, nowMs - lastCpuAtMs)
    lastCpu = process.cpuUsage()
    lastCpuAtMs = nowMs
    return Math.round(share * 1000) / 10
  }

  /** Publishes one heartbeat at a time. If Redis is slow, heartbeats are skipped, not queued. */
  function publishOnce(): Promise<void> {
    publishing ??= publish().finally(() => {
      publishing = undefined
    })
    return publishing
  }

  return {
    start(): void {
      timer = setInterval(publishOnce, heartbeatMs).unref()
      void publishOnce()
    },
    /** Publishes the state `draining`, so that this process's slots no longer count. */
    async drain(): Promise<void> {
      state = 'draining'
      await publishing
      if (timer) await publishOnce()
    },
    /** Removes the heartbeat. If Redis does not respond, the heartbeat expires. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await publishing
      if (timer) await heartbeats.remove(id, since).catch(() => undefined)
    },
  }
}

export type HeartbeatSchedule = ReturnType<typeof createHeartbeatSchedule>
