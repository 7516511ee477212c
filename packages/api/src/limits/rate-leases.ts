import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'

/** Sessions, keys and addresses of which an instance keeps leases. */
const keptLeases = 10_000
/**
 * A lease is at most this part of what is left of a limit, so that what an instance has leased and does not use
 * is little, and the closer the limit is the more exactly it is counted.
 */
const shareOfRest = 1 / 64

/** Takes `ARGV[1]` of a window of `ARGV[2]` ms. Answers how many were taken in all, and when it ends, in ms. */
const takeScript = `
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if total == tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { total, redis.call('PTTL', KEYS[1]) }
`

type Told = Parameters<FastifyRateLimitStore['incr']>[1]

/** What an instance may still let through by itself, in the window that ends at `endsAt` (`performance.now()`). */
type Lease = {
  left: number
  /** How many will be asked for at once the next time. */
  size: number
  endsAt: number
  /** Whether the whole limit is used up until then. */
  isOver: boolean
  /** Requests that wait for an answer of Redis that is under way. */
  waiting: { told: Told; max: number }[]
}

/**
 * Counts requests over all instances, for `@fastify/rate-limit`. Redis is not asked for each of them: an
 * instance leases several at once, twice as many each time that it has used them up, and what is over the
 * limit it refuses by itself until the window ends. Together they never let more through than the limit;
 * they may let through a little less, where one instance has leased what another one could use.
 *
 * @param deps.redis a connection that fails rather than waits
 * @param deps.prefix begins every key
 * @param deps.windowMs how long counts last
 */
export function createRateLeases(deps: { redis: Redis; prefix: string; windowMs: number }) {
  const { redis, prefix, windowMs } = deps
  const leases = new LRUCache<string, Lease>({ max: keptLeases })

  function leaseOf(key: string): Lease {
    const found = leases.get(key)
    if (found) return found
    const fresh = { left: 0, size: 1, endsAt: 0, isOver: false, waiting: [] }
    leases.set(key, fresh)
    return fresh
  }

  /** Answers as many of those who wait as it can. */
  function serve(lease: Lease): void {
    const ttl = Math.max(0, lease.endsAt - performance.now())
    while (lease.waiting.length > 0 && (lease.left > 0 || lease.isOver)) {
      const next = lease.waiting.shift()
      if (!lease.isOver) lease.left -= 1
      next?.told(null, { current: lease.isOver ? next.max + 1 : next.max, ttl })
    }
  }

  async function refill(key: string, lease: Lease, max: number): Promise<void> {
    while (lease.waiting.length > 0) {
      const asked = Math.max(lease.size, lease.waiting.length)
      try {
        const [total, ttl] = await leaseMore(key, asked)
        const before = total - asked
        lease.endsAt = performance.now() + ttl
        lease.left = Math.max(0, Math.min(asked, max - before))
        lease.isOver = lease.left === 0
        lease.size = Math.max(1, Math.min(asked * 2, Math.floor((max - total) * shareOfRest)))
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error))
        for (const { told } of lease.waiting.splice(0)) told(failure)
        return
      }
      serve(lease)
    }
  }

  async function leaseMore(key: string, count: number): Promise<[total: number, ttlMs: number]> {
    const answer = await redis.eval(takeScript, 1, `${prefix}${key}`, count, windowMs)
    if (!Array.isArray(answer)) throw new Error('Redis answered a script otherwise than it says.')
    return [Number(answer[0]), Number(answer[1])]
  }

  /**
   * Takes one of what the instance has leased.
   * @returns whether it had one; where it had none the store has to be asked
   */
  function take(key: string): boolean {
    const lease = leases.get(key)
    if (!lease || lease.left === 0 || performance.now() >= lease.endsAt) return false
    lease.left -= 1
    return true
  }

  // The plugin makes its store itself, and would have one for each route.
  const Store: FastifyRateLimitStoreCtor = class implements FastifyRateLimitStore {
    incr(key: string, told: Told, _windowMs: number, max: number): void {
      const lease = leaseOf(key)
      if (performance.now() >= lease.endsAt) Object.assign(lease, { left: 0, size: 1, isOver: false })
      const isAsking = lease.waiting.length > 0
      lease.waiting.push({ told, max })
      if (isAsking) return
      serve(lease)
      if (lease.waiting.length > 0) void refill(key, lease, max)
    }
    child(): FastifyRateLimitStore {
      return this
    }
  }
  return { take, Store }
}
