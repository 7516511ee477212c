import type { Redis } from 'ioredis'
import { redisScript, runScript } from './redis-script.ts'

/** KEYS: lease. ARGV: holder, ms. Takes the lease if it is free, renews it if it is ours. */
const holdScript = redisScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

/** KEYS: lease. ARGV: holder, next holder, ms. */
const handOverScript = redisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`)

/** KEYS: lease. ARGV: holder, ms. */
const renewScript = redisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

/** KEYS: lease. ARGV: holder. */
const releaseScript = redisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

/**
 * A lock with the holder's token that expires by itself. If its holder dies, another one can take it after `ttlMs`.
 * A holder that was suspended for longer may work for a moment beside the next one. So work under a lease must be
 * safe to do twice.
 *
 * @param deps.holder the token of this process or request, which no other has
 * @param deps.ttlMs how long the lease lasts if it is not renewed, in ms
 */
export function createRedisLease(deps: { redis: Redis; key: string; holder: string; ttlMs: number }) {
  const { redis, key, holder, ttlMs } = deps
  return {
    /**
     * Takes the lease if it is free, or renews it. Sent again after a lost connection it finds its own token.
     *
     * @returns whether it is ours
     */
    async hold(): Promise<boolean> {
      return (await runScript(redis, holdScript, 1, key, holder, ttlMs)) === 1
    },
    /** Renews the lease. Returns false if Redis has lost it or another holder has it. */
    async renew(): Promise<boolean> {
      return (await runScript(redis, renewScript, 1, key, holder, ttlMs)) === 1
    },
    /** Deletes the lease, if it is ours, so that others can take it at once. */
    async release(): Promise<void> {
      await runScript(redis, releaseScript, 1, key, holder)
    },
    /** Returns the holder's token, or undefined if the lease is free. */
    async holder(): Promise<string | undefined> {
      return (await redis.get(key)) ?? undefined
    },
    /**
     * Gives the lease to another holder, if it is ours.
     *
     * @param forMs how long the other holder has it, in ms
     */
    async handOver(nextHolder: string, forMs: number): Promise<void> {
      await runScript(redis, handOverScript, 1, key, holder, nextHolder, forMs)
    },
  }
}

export type RedisLease = ReturnType<typeof createRedisLease>
