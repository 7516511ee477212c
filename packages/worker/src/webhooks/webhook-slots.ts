import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import type { Redis } from 'ioredis'

/** How requests to a webhook are limited. Times in ms. */
export type SlotLimits = {
  /** Requests to one webhook at a time, over all workers. */
  slots: number
  /** How long a slot is kept if its worker dies: above the timeout of a request. */
  slotLifeMs: number
  /** So many failures in a row open the circuit breaker: then one request at a time tries the webhook, with pauses between. */
  failuresToOpen: number
  /** The first pause, doubled with each further failure, and the longest one. */
  firstPauseMs: number
  longestPauseMs: number
  /** The longest wait for a slot before it is asked for again. */
  longestWaitMs: number
}

export const usualSlotLimits: SlotLimits = {
  slots: 4,
  slotLifeMs: 30_000,
  failuresToOpen: 10,
  firstPauseMs: 10_000,
  longestPauseMs: 10 * 60_000,
  // Deliveries that wait learn at the latest after this time that the webhook works again. A full backlog of 2,000 asks
  // Redis some 7 times a second.
  longestWaitMs: 5 * 60_000,
}

/** What is known of a webhook is forgotten after this time without a request, in ms. */
const lifeMs = 2 * 24 * 60 * 60 * 1000

/** The assumed duration of a first request, in ms. */
const firstGuessMs = 200

/**
 * KEYS: slots, health. ARGV: holder, now, slot's life, slots, failures to open, longest wait, life, first guess, 1 to ignore
 * the breaker.
 * Returns {1, mean duration or -1} or {0, wait in ms}. Each refused caller gets a place in a line: its wait is the time until the
 * requests before it should be through, so that waiting deliveries ask as seldom as slots get free.
 */
const takeScript = redisScript(`
local now = tonumber(ARGV[2])
local until_, failures, mean, line = unpack(redis.call('HMGET', KEYS[2], 'until', 'failures', 'mean', 'line'))
until_ = tonumber(until_) or 0
local known = tonumber(mean) or -1
mean = tonumber(mean) or tonumber(ARGV[8])
local slots = tonumber(ARGV[4])
if known < 0 then slots = 1 end
if ARGV[9] == '1' then until_ = 0
elseif (tonumber(failures) or 0) >= tonumber(ARGV[5]) then slots = 1 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if now >= until_ and redis.call('ZCARD', KEYS[1]) < slots then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1, math.ceil(known)}
end
line = math.min(math.max(now, until_, tonumber(line) or 0) + mean / slots, now + ARGV[6])
redis.call('HSET', KEYS[2], 'line', string.format('%.0f', line))
redis.call('PEXPIRE', KEYS[2], ARGV[7])
return {0, math.ceil(line - now)}
`)

/** KEYS: slots, health. ARGV: holder, duration, life. */
const succeedScript = redisScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
local mean = tonumber(redis.call('HGET', KEYS[2], 'mean')) or tonumber(ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'mean', string.format('%.0f', 0.7 * mean + 0.3 * ARGV[2]))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
`)

/**
 * KEYS: slots, health. ARGV: holder, duration, life, now, failures to open, first pause, longest pause, pause the webhook
 * asked for. Returns the number of failures in a row. Requests that were under way when the breaker opened count once.
 */
const failScript = redisScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
local now = tonumber(ARGV[4])
local mean = tonumber(redis.call('HGET', KEYS[2], 'mean')) or tonumber(ARGV[2])
local until_ = tonumber(redis.call('HGET', KEYS[2], 'until')) or 0
local failures = tonumber(redis.call('HGET', KEYS[2], 'failures')) or 0
local toOpen = tonumber(ARGV[5])
if failures < toOpen or now >= until_ then
  failures = failures + 1
  if failures >= toOpen then
    local pause = math.min(ARGV[7], ARGV[6] * 2 ^ math.min(failures - toOpen, 30))
    until_ = math.max(until_, now + pause)
  end
end
until_ = math.max(until_, now + ARGV[8])
redis.call('HSET', KEYS[2], 'mean', string.format('%.0f', 0.7 * mean + 0.3 * ARGV[2]),
  'failures', failures, 'until', string.format('%.0f', until_))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return failures
`)

/**
 * Slots of webhooks and their circuit breakers, shared by all workers. A webhook that is slow or does not respond uses its
 * own slots only, and one if it fails all the time. A new one uses one slot until its first request has ended.
 *
 *   {prefix}:webhook:{webhookId}:slots    sorted set: requests that run, by when they count as lost
 *   {prefix}:webhook:{webhookId}:health   hash: `failures` in a row; `until`, no request before; `mean` duration in ms;
 *                                         `line`, when the last waiting delivery has its turn. Times in ms since 1970
 *
 * Both are hints: without them a webhook counts as healthy.
 */
export function createWebhookSlots(deps: { redis: Redis; prefix: string; limits: SlotLimits }) {
  const { redis, prefix, limits } = deps
  const keys = (webhookId: string) => [
    `${prefix}:webhook:${webhookId}:slots`,
    `${prefix}:webhook:${webhookId}:health`,
  ]

  return {
    /**
     * Takes a slot.
     * @param holder of the request
     * @param options.ignoresBreaker for a request that a person asked for
     * @returns the mean duration of the webhook's requests, undefined before the first one; or how long to wait. In ms
     */
    async take(
      webhookId: string,
      holder: string,
      { ignoresBreaker }: { ignoresBreaker: boolean },
    ): Promise<{ meanMs: number | undefined } | { waitMs: number }> {
      const [isTaken, ms] = readPair(
        await runScript(
          redis,
          takeScript,
          2,
          ...keys(webhookId),
          holder,
          Date.now(),
          limits.slotLifeMs,
          limits.slots,
          limits.failuresToOpen,
          limits.longestWaitMs,
          lifeMs,
          firstGuessMs,
          ignoresBreaker ? 1 : 0,
        ),
      )
      if (isTaken !== 1) return { waitMs: ms }
      return { meanMs: ms < 0 ? undefined : ms }
    },

    /** Gives a slot back whose request was not sent, or is no sign of the webhook's health. */
    async release(webhookId: string, holder: string): Promise<void> {
      await redis.zrem(`${prefix}:webhook:${webhookId}:slots`, holder)
    },

    /** Gives a slot back and closes the breaker. @param ms the duration of the request */
    async succeeded(webhookId: string, holder: string, ms: number): Promise<void> {
      await runScript(redis, succeedScript, 2, ...keys(webhookId), holder, Math.round(ms), lifeMs)
    },

    /**
     * Gives a slot back and counts a failure.
     * @param request.pauseMs how long the webhook asked not to be called
     * @returns the number of failures in a row
     */
    async failed(
      webhookId: string,
      holder: string,
      { ms, pauseMs = 0 }: { ms: number; pauseMs?: number | undefined },
    ): Promise<number> {
      const failures = await runScript(
        redis,
        failScript,
        2,
        ...keys(webhookId),
        holder,
        Math.round(ms),
        lifeMs,
        Date.now(),
        limits.failuresToOpen,
        limits.firstPauseMs,
        limits.longestPauseMs,
        Math.min(pauseMs, limits.longestPauseMs),
      )
      return Number(failures)
    },
  }
}

export type WebhookSlots = ReturnType<typeof createWebhookSlots>

function readPair(reply: unknown): [number, number] {
  if (!Array.isArray(reply)) throw new Error('Redis returned no pair.')
  return [Number(reply[0]), Number(reply[1])]
}
