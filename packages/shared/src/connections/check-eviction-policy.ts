import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { withDeadline } from '../service/deadline.ts'
import { readRedisMemory } from './redis-memory.ts'

/** How long the start waits for Redis' answer, in ms. */
const defaultTimeoutMs = 5_000

/**
 * Refuses a Redis that deletes keys when it is full: it would delete jobs, records and erasure markers. Without a memory
 * limit it never is full, so the policy does not matter.
 *
 * If the policy cannot be read, this only logs a warning: a service starts without Redis and waits for it.
 *
 * @param deps.timeoutMs how long to wait for Redis' answer, in ms
 * @throws Error that says what to change
 */
export async function checkEvictionPolicy(deps: {
  redis: Redis
  log: Pick<Logger, 'warn'>
  timeoutMs?: number
}): Promise<void> {
  const { redis, log, timeoutMs = defaultTimeoutMs } = deps
  let maxBytes: number
  let evictionPolicy: string | undefined
  try {
    const read = () => readRedisMemory(redis)
    ;({ maxBytes, evictionPolicy } = await withDeadline("Reading Redis' eviction policy", timeoutMs, read))
    if (evictionPolicy === undefined) throw new Error('INFO memory has no maxmemory_policy.')
  } catch (error) {
    log.warn(
      { err: error, event: 'eviction-policy-unknown' },
      "Redis' maxmemory-policy cannot be read; it must be noeviction",
    )
    return
  }
  if (evictionPolicy === 'noeviction' || maxBytes === 0) return
  throw new Error(
    `The Redis of REDIS_URL deletes keys when it is full: its maxmemory-policy is "${evictionPolicy}". ` +
      'Jobs and erasures would be lost. Set maxmemory-policy to noeviction, in redis.conf or in the parameter group ' +
      'of ElastiCache, and start again.',
  )
}
