import { randomUUID } from 'node:crypto'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { createRepeatedWork } from '@millrace/shared/service/repeated-work.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Sweep } from './sweep.ts'
import { newSweepState, type SweepState, type SweepStateStore } from './sweep-state.ts'

/** In ms. Renewed with every page and every upload, so a worker that dies blocks the others no longer than this. */
const leaseMs = 60_000
/**
 * How often a worker looks whether a sweep is due, or was interrupted, in ms: one GET. A thousand workers pay 12 cents a
 * day.
 */
const longestPollMs = 5 * 60_000

/** Returns the lease of one runner. Workers and the command share it. */
export function sweepLease({ redis, prefix }: { redis: Redis; prefix: string }) {
  // A token for each run: a run that was suspended for longer than the lease must not end the next one's.
  const lease = createRedisLease({ redis, key: `${prefix}:sweep`, holder: randomUUID(), ttlMs: leaseMs })
  return {
    ...lease,
    /** Renews the lease. Taken again if Redis has lost it. @throws Error if another runner has it */
    async keep(): Promise<void> {
      if (!(await lease.hold())) throw new Error('Another runner has taken the lease of this sweep.')
    },
  }
}

/**
 * Sweeps at intervals, on one worker at a time. Whether a sweep is due is in S3: a worker that starts lists nothing
 * because of it, and a Redis that lost its data neither starts nor stops a sweep. A run whose worker died is continued by
 * the next worker that looks.
 *
 * @param deps.intervalMs time from the start of one run to the start of the next, in ms
 */
export function createSweepSchedule(deps: {
  redis: Redis
  prefix: string
  intervalMs: number
  stateStore: SweepStateStore
  sweep: Sweep
  log: Logger
}) {
  const { redis, prefix, intervalMs, stateStore, sweep, log } = deps

  /** A stop ends a run at its next page. Another worker continues it. */
  return createRepeatedWork({
    pauseMs: Math.min(intervalMs, longestPollMs),
    async run(signal) {
      await runIfDue(signal)
      return undefined
    },
    onFailed: (error) =>
      log.warn({ err: error, event: 'sweep-failed' }, 'the sweep failed, a worker continues it later'),
  })

  async function runIfDue(signal: AbortSignal): Promise<void> {
    if (!isDue(await stateStore.read())) return
    const lease = sweepLease({ redis, prefix })
    if (!(await lease.hold())) return
    try {
      // Another worker may have completed it between the two requests.
      const last = await stateStore.read()
      if (!isDue(last)) return
      const isInterrupted = last !== undefined && last.completedAt === undefined
      const state = isInterrupted ? last : newSweepState(last, Date.now())
      if (!isInterrupted) await stateStore.write(state)
      log.info({ event: 'sweep-started', isContinued: isInterrupted }, 'sweep started')
      const { findings } = await sweep({ state, save: stateStore.write, keepLease: lease.keep, signal })
      const ms = Date.now() - Date.parse(state.startedAt)
      log.info({ event: 'swept', ...findings.counts(), ms }, 'sweep completed')
    } finally {
      await lease.release()
    }
  }

  function isDue(last: SweepState | undefined): boolean {
    // Also if it is far in the future: the clock of that worker was wrong.
    const isOld = (startedAt: string) => Math.abs(Date.now() - Date.parse(startedAt)) >= intervalMs
    return last?.completedAt === undefined || isOld(last.startedAt)
  }
}

export type SweepSchedule = ReturnType<typeof createSweepSchedule>
