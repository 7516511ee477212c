import type { Logger } from 'pino'
import { type Heartbeat, type Heartbeats, heartbeatMs, type Tier } from './heartbeats.ts'
import type { RecentActivity } from './recent-activity.ts'

/**
 * Tells every second that this process lives, and what it does.
 *
 * @param deps.slots how many jobs at once; 0 for the API
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
  let usedCpu = process.cpuUsage()
  let usedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  let beating: Promise<void> | undefined
  let failing = false

  async function beat(): Promise<void> {
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
        busy: activity.underWay(),
        perSecond: activity.perSecond(),
        latency: activity.latency(),
      })
      failing = false
    } catch (error) {
      // An outage of Redis is told once, not every second.
      if (!failing) log.warn({ err: error, event: 'heartbeat-failed' }, 'heartbeat')
      failing = true
    }
  }

  function cpuSinceLast(): number {
    const now = performance.now()
    const { user, system } = process.cpuUsage(usedCpu)
    const percent = (user + system) / 1000 / Math.max(1, now - usedAt)
    usedCpu = process.cpuUsage()
    usedAt = now
    return Math.round(percent * 1000) / 10
  }

  /** One at a time: where Redis is slow, heartbeats are left out rather than piled up. */
  function beatUnlessBeating(): Promise<void> {
    beating ??= beat().finally(() => {
      beating = undefined
    })
    return beating
  }

  return {
    start(): void {
      timer = setInterval(beatUnlessBeating, heartbeatMs).unref()
      void beatUnlessBeating()
    },
    /** From now on this process takes nothing more, and is not counted on. */
    async drain(): Promise<void> {
      state = 'draining'
      await beating
      if (timer) await beatUnlessBeating()
    },
    /** The process is about to end. Where that cannot be told, its last heartbeat expires. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await beating
      if (timer) await heartbeats.remove(id).catch(() => undefined)
    },
  }
}

export type HeartbeatSchedule = ReturnType<typeof createHeartbeatSchedule>
