import { readRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import type { Redis } from 'ioredis'

/** A limit that Redis does not reach in a test, in bytes. */
const referenceBytes = 1024 ** 3

/**
 * Sets the memory limit of a Redis so that what it holds now is this share of it.
 *
 * @param usedShare 0 to 1
 */
export async function limitRedisMemory(redis: Redis, usedShare: number): Promise<void> {
  await redis.config('SET', 'maxmemory', referenceBytes)
  const { usedShare: usedOfReference } = await readRedisMemory(redis)
  await redis.config('SET', 'maxmemory', Math.ceil((usedOfReference * referenceBytes) / usedShare))
}
