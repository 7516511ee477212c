import type { Redis } from 'ioredis'

/** KEYS: the lease. ARGV: holder, ms. Takes the lease if it is free, prolongs it if it is ours. */
const holdScript = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`

/** KEYS: the lease. ARGV: holder. */
const releaseScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`

/**
 * Something that one process of the fleet does at a time. Should its holder die, the lease runs out and whoever
 * asks next has it. A holder that was suspended for longer than that may for a moment be the second one, so what
 * is done under a lease must bear being done twice.
 *
 * @param deps.holder names this process, and no other
 * @param deps.ttlMs how long a lease lasts that is not renewed, in milliseconds
 */
export function createRedisLease(deps: { redis: Redis; key: string; holder: string; ttlMs: number }) {
  const { redis, key, holder, ttlMs } = deps
  return {
    /** Takes or renews it. @returns whether it is ours */
    async hold(): Promise<boolean> {
      return (await redis.eval(holdScript, 1, key, holder, ttlMs)) === 1
    },
    /** @returns who has it, if anybody */
    async holder(): Promise<string | undefined> {
      return (await redis.get(key)) ?? undefined
    },
    /** Lets others have it at once. */
    async release(): Promise<void> {
      await redis.eval(releaseScript, 1, key, holder)
    },
  }
}

export type RedisLease = ReturnType<typeof createRedisLease>
