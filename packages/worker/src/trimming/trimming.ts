import { randomUUID } from 'node:crypto'
import { isOutOfMemory } from '@millrace/shared/connections/outage.ts'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { createRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import { createRepeatedWork } from '@millrace/shared/service/repeated-work.ts'
import { memoryBudget } from '@millrace/shared/uploads/memory-budget.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createTrimRecords } from './trim-records.ts'

/** In ms. Renewed with every batch, so a worker that dies blocks the others no longer than this. */
const leaseMs = 15_000

/** How often each worker looks at Redis' memory, in ms. Even a busy system fills a percent of it in minutes. */
const checkIntervalMs = 5_000

/** The pause after a run that could not free enough, in ms: the memory is used by something else, and a run reads all keys. */
const pauseMs = 60_000

/** The lease's holder in that pause. */
const paused = 'paused'

/**
 * Keeps history from filling Redis: deletes records of finished uploads while the memory is used beyond its budget, on
 * one worker at a time.
 *
 *   {prefix}:trimming   lease of the worker that trims
 *
 * @param deps.redis for commands
 */
export function createTrimming(deps: { redis: Redis; prefix: string; log: Logger }) {
  const { redis, prefix, log } = deps
  const memory = createRedisMemory({ redis, maxAgeMs: 0 })
  const trimRecords = createTrimRecords({ redis, prefix, memory })

  /** A stop ends a run at its next batch. */
  return createRepeatedWork({
    pauseMs: checkIntervalMs,
    run: async (signal) => ((await trimIfNeeded(signal)) ? undefined : pauseMs),
    onFailed: (error) => log.warn({ err: error, event: 'trimming-failed' }, 'trimming failed, it is retried'),
  })

  /** @returns false after a run that could not free enough */
  async function trimIfNeeded(signal: AbortSignal): Promise<boolean> {
    if ((await memory.usedShare()) <= memoryBudget.trimAbove) return true
    const lease = createRedisLease({
      redis,
      key: `${prefix}:trimming`,
      holder: randomUUID(),
      ttlMs: leaseMs,
    })
    if (!(await holdIfPossible(lease.hold))) return true
    let isEnough = false
    try {
      const startedAtMs = performance.now()
      const { deleted, usedShare } = await trimRecords(async () => {
        signal.throwIfAborted()
        if (!(await holdIfPossible(lease.hold))) throw new Error('Another worker has taken the lease.')
      })
      isEnough = usedShare <= memoryBudget.trimAbove
      const fields = {
        event: 'records-trimmed',
        deleted,
        usedShare: Number(usedShare.toFixed(3)),
        ms: Math.round(performance.now() - startedAtMs),
      }
      if (isEnough) log.info(fields, 'records of finished uploads were deleted, because Redis was filling')
      else log.warn(fields, 'Redis is filling with other data than records of finished uploads')
      return isEnough
    } finally {
      // If Redis is full or does not respond, the lease expires.
      await (isEnough ? lease.release() : lease.handOver(paused, pauseMs)).catch(() => undefined)
    }
  }
}

/**
 * Takes or renews the lease. A Redis that is full refuses it, just when trimming is needed most. Then every worker trims:
 * deleting the same records twice does no harm.
 */
async function holdIfPossible(hold: () => Promise<boolean>): Promise<boolean> {
  try {
    return await hold()
  } catch (error) {
    if (isOutOfMemory(error)) return true
    throw error
  }
}
