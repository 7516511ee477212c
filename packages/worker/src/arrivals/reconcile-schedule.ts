import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createRedisLease } from '@millrace/shared/service/redis-lease.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { EraseLateCopies } from './erase-late-copies.ts'
import type { ExpireUnfinished } from './expire-unfinished.ts'
import type { Reconcile } from './reconcile.ts'

/** In ms. Renewed with every page, so a worker that dies blocks the others no longer than this. */
const leaseMs = 60_000

/**
 * A run lists the whole bucket. The pause after it is at least this many times as long as the run, so that listing
 * millions of objects does not become a load of its own.
 */
const pauseFactor = 20

/** The lease's holder after a run, until the next run is due. */
const done = 'done'

/**
 * Reconciles when a worker starts and then at intervals, on one worker at a time. It uses a lease in Redis and not a
 * scheduled job: if Redis lost all data, scheduled jobs are lost too, and reconciliation is needed most.
 *
 * @param deps.intervalMs interval between two runs of all workers together, in ms
 */
export function createReconcileSchedule(deps: {
  redis: Redis
  prefix: string
  intervalMs: number
  reconcile: Reconcile
  expireUnfinished: ExpireUnfinished
  eraseLateCopies: EraseLateCopies
  log: Logger
}) {
  const { redis, intervalMs, reconcile, expireUnfinished, eraseLateCopies, log } = deps
  const leaseOf = (holder: string) =>
    createRedisLease({ redis, key: `${deps.prefix}:reconcile`, holder, ttlMs: leaseMs })
  const stopping = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  return {
    start(): void {
      loop = repeat()
    },
    /** Ends a run at its next page. */
    async stop(): Promise<void> {
      stopping.abort()
      await loop
    },
  }

  async function repeat(): Promise<void> {
    // At the start a finished run does not count: it may have been before the fault that a restart repairs.
    await attempt(() => leaseOf(done).release())
    while (!stopping.signal.aborted) {
      await attempt(runIfFree)
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  async function runIfFree(): Promise<void> {
    // A token for each run: a run that was suspended for longer than the lease must not end the next one's.
    const lease = leaseOf(randomUUID())
    if (!(await lease.hold())) return
    const startedAt = performance.now()
    let pauseMs = 1
    try {
      const onPage = async () => {
        stopping.signal.throwIfAborted()
        // Taken again if Redis has lost it: this run repairs what else Redis lost.
        if (!(await lease.hold())) throw new Error('Another worker has taken the lease of this run.')
      }
      const erasedAgain = await eraseLateCopies(onPage)
      const { seen, received } = await reconcile(onPage)
      const expired = await expireUnfinished(onPage)
      const ms = Math.round(performance.now() - startedAt)
      pauseMs = Math.max(intervalMs, ms * pauseFactor)
      log.info({ event: 'reconciled', seen, received, expired, erasedAgain, ms }, 'reconciled')
    } finally {
      // Workers' timers are not in step with the key: with the whole interval, every other run would be missed.
      await lease.handOver(done, Math.max(1, Math.round(pauseMs * 0.9)))
    }
  }

  /** Logs a failure instead of throwing it: the next run may succeed. */
  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!stopping.signal.aborted)
        log.warn(
          { err: error, event: 'reconcile-failed' },
          'reconciliation failed, it is retried at the next interval',
        )
    }
  }
}

export type ReconcileSchedule = ReturnType<typeof createReconcileSchedule>
