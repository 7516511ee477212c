import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'

/**
 * Number of leases (of sessions, keys and addresses) that an instance caches.
 */
const leaseCacheSize = 10_000
/**
 * Maximum share of the remaining limit that one lease takes. So few leased requests stay unused, and counting
 * becomes more exact the closer the limit is.
 */
const maxShareOfRemaining = 1 / 64

/**
 * Takes `ARGV[1]` requests in a window of `ARGV[2]` ms. Returns the number of requests taken by all
 * instances, and the ms until the window ends.
 */
const takeScript = redisScript(`
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if total == tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return { total, redis.call('PTTL', KEYS[1]) }
`)

type Callback = Parameters<FastifyRateLimitStore['incr']>[1]

/**
 * Requests that an instance may accept without Redis, in the window that ends at `endsAt`
 * (`performance.now()`).
 */
type Lease = {
  remaining: number
  /** Number of requests that the next lease takes. */
  size: number
  endsAt: number
  /** Whether the limit is used up until the window ends. */
  isExhausted: boolean
  /** Requests that wait for Redis. */
  waiting: { callback: Callback; max: number }[]
}

/**
 * Creates the store of `@fastify/rate-limit` that counts requests over all instances. It does not query Redis
 * for each request. An instance leases several requests at once, and doubles their number each time it has
 * used them up. Above the limit, it refuses requests without Redis until the window ends. The instances
 * together never accept more than the limit. They may accept slightly less, if one instance has leased
 * requests that another one needs.
 *
 * @param deps.redis a connection that fails instead of queueing commands
 * @param deps.prefix the prefix of every key
 * @param deps.windowMs length of the window
 */
export function createRateLeases(deps: { redis: Redis; prefix: string; windowMs: number }) {
  const { redis, prefix, windowMs } = deps
  const leases = new LRUCache<string, Lease>({ max: leaseCacheSize })

  function leaseOf(key: string): Lease {
    const cached = leases.get(key)
    if (cached) return cached
    const lease = { remaining: 0, size: 1, endsAt: 0, isExhausted: false, waiting: [] }
    leases.set(key, lease)
    return lease
  }

  /** Decides as many waiting requests as the lease allows. */
  function decideWaiting(lease: Lease): void {
    const ttl = Math.max(0, lease.endsAt - performance.now())
    while (lease.waiting.length > 0 && (lease.remaining > 0 || lease.isExhausted)) {
      const next = lease.waiting.shift()
      if (!lease.isExhausted) lease.remaining -= 1
      next?.callback(null, { current: lease.isExhausted ? next.max + 1 : next.max, ttl })
    }
  }

  async function refill(key: string, lease: Lease, max: number): Promise<void> {
    while (lease.waiting.length > 0) {
      const requested = Math.max(lease.size, lease.waiting.length)
      try {
        const [total, ttl] = await leaseMore(key, requested)
        const takenBefore = total - requested
        lease.endsAt = performance.now() + ttl
        lease.remaining = Math.max(0, Math.min(requested, max - takenBefore))
        lease.isExhausted = lease.remaining === 0
        lease.size = Math.max(1, Math.min(requested * 2, Math.floor((max - total) * maxShareOfRemaining)))
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error))
        for (const { callback } of lease.waiting.splice(0)) callback(failure)
        return
      }
      decideWaiting(lease)
    }
  }

  async function leaseMore(key: string, count: number): Promise<[total: number, ttlMs: number]> {
    const result = await runScript(redis, takeScript, 1, `${prefix}${key}`, count, windowMs)
    if (!Array.isArray(result)) throw new Error('The lease script did not return an array.')
    return [Number(result[0]), Number(result[1])]
  }

  /** Takes one request of the lease. Returns false if there is none; the store must then be used. */
  function take(key: string): boolean {
    const lease = leases.get(key)
    if (!lease || lease.remaining === 0 || performance.now() >= lease.endsAt) return false
    lease.remaining -= 1
    return true
  }

  // The plugin creates its store itself, and by default one for each route.
  const Store: FastifyRateLimitStoreCtor = class implements FastifyRateLimitStore {
    incr(key: string, callback: Callback, _windowMs: number, max: number): void {
      const lease = leaseOf(key)
      if (performance.now() >= lease.endsAt)
        Object.assign(lease, { remaining: 0, size: 1, isExhausted: false })
      const isRefilling = lease.waiting.length > 0
      lease.waiting.push({ callback, max })
      if (isRefilling) return
      decideWaiting(lease)
      if (lease.waiting.length > 0) void refill(key, lease, max)
    }
    child(): FastifyRateLimitStore {
      return this
    }
  }
  return { take, Store }
}
