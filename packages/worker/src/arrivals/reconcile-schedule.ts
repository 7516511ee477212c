import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { ExpireUnfinished } from './expire-unfinished.ts'
import type { Reconcile } from './reconcile.ts'
import type { RepeatErasures } from './repeat-erasures.ts'

/** Milliseconds; renewed with every page, so a worker that dies holds others up no longer than this. */
const leaseMs = 60_000

/**
 * A run lists the whole bucket. It is paused for at least this many times as long as it took, so that the
 * listing of millions of objects does not become a load of its own.
 */
const pauseFactor = 20

/** What the lease's key holds: a run under way, or one that is over and need not be done again yet. */
const running = 'running'
const done = 'done'

/**
 * Reconciles when a worker starts and then at intervals, on one worker at a time. A lease in Redis decides
 * rather than a scheduled job: a Redis that lost everything has lost its scheduled jobs as well, and that is
 * when this is needed most.
 *
 * @param deps.intervalMs milliseconds between two runs of all workers together
 * @param deps.repeatErasures where several regions tell each other of erasures
 */
export function createReconcileSchedule(deps: {
  redis: Redis
  prefix: string
  intervalMs: number
  reconcile: Reconcile
  expireUnfinished: ExpireUnfinished
  repeatErasures?: RepeatErasures | undefined
  log: Logger
}) {
  const { redis, intervalMs, reconcile, expireUnfinished, repeatErasures, log } = deps
  const key = `${deps.prefix}:reconcile`
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
    // At the start a finished run does not count: it may have been before whatever is put right by a restart.
    if ((await attempt(() => redis.get(key))) === done) await attempt(() => redis.del(key))
    while (!stopping.signal.aborted) {
      await attempt(runIfFree)
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  async function runIfFree(): Promise<void> {
    if (!(await redis.set(key, running, 'PX', leaseMs, 'NX'))) return
    const startedAt = performance.now()
    let pauseMs = 1
    try {
      const onPage = async () => {
        stopping.signal.throwIfAborted()
        await redis.set(key, running, 'PX', leaseMs)
      }
      const erasedAgain = await repeatErasures?.(onPage)
      const { seen, received } = await reconcile(onPage)
      const expired = await expireUnfinished(onPage)
      const ms = Math.round(performance.now() - startedAt)
      pauseMs = Math.max(intervalMs, ms * pauseFactor)
      log.info({ event: 'reconciled', seen, received, expired, erasedAgain, ms }, 'reconciled')
    } finally {
      // Workers' timers are not in step with the key: a little less than the interval, or every other is lost.
      await redis.set(key, done, 'PX', Math.max(1, Math.round(pauseMs * 0.9)))
    }
  }

  /** @returns undefined where it failed, which is logged: the next time may do better */
  async function attempt<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!stopping.signal.aborted) log.warn({ err: error, event: 'reconcile-failed' }, 'tried again')
      return undefined
    }
  }
}

export type ReconcileSchedule = ReturnType<typeof createReconcileSchedule>
