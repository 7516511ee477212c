import type { Redis } from 'ioredis'
import { redisScript, runScript } from './redis-script.ts'

/** How long a known epoch is used before Redis is asked again, in ms. */
const defaultMaxAgeMs = 1_000

/**
 * Returns the current epoch, and begins a new one if the server is another process than the one that began it, or if
 * it has lost the key. `run_id` identifies a server process: it changes with a restart, and with a failover.
 *
 * KEYS: epoch.
 */
const currentScript = redisScript(`
local runId = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
local known = redis.call('HMGET', KEYS[1], 'runId', 'epoch')
if known[1] == runId and known[2] then return known[2] end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local epoch = string.format('%.0f', math.max((tonumber(known[2]) or 0) + 1, now))
redis.call('HSET', KEYS[1], 'runId', runId, 'epoch', epoch)
return epoch
`)

/**
 * Detects that Redis may have lost a part of what it acknowledged: after a restart, a failover to a replica that was
 * behind, or a flush. Each begins a new epoch. Data that was written in an earlier epoch is checked against S3 before
 * it is trusted.
 *
 *   {prefix}:epoch   hash: runId, epoch (ms since 1970 when it began)
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 * @param deps.maxAgeMs how long a known epoch is used before Redis is asked again, in ms. A new connection always asks
 */
export function createRedisEpoch(deps: { redis: Redis; prefix: string; maxAgeMs?: number }) {
  const { redis, prefix, maxAgeMs = defaultMaxAgeMs } = deps
  let known: { epoch: number; readAtMs: number } | undefined
  let request: Promise<number> | undefined
  redis.on('ready', () => {
    known = undefined
    request = undefined
  })

  async function read(): Promise<number> {
    const epoch = Number(await runScript(redis, currentScript, 1, `${prefix}:epoch`))
    if (!Number.isSafeInteger(epoch)) throw new Error('Redis returned an unexpected epoch.')
    return epoch
  }

  /** Shares one request between all callers. */
  function refresh(): Promise<number> {
    const started: Promise<number> = read().then(
      (epoch) => {
        // A connection that was made meanwhile may lead to another server.
        if (request === started) {
          known = { epoch, readAtMs: performance.now() }
          request = undefined
        }
        return epoch
      },
      (error) => {
        if (request === started) request = undefined
        throw error
      },
    )
    request = started
    return started
  }

  return {
    /**
     * Returns the current epoch: the time in ms since 1970 from which on this Redis is known to have lost nothing.
     * @throws whatever Redis rejects with
     */
    async current(): Promise<number> {
      if (known && performance.now() - known.readAtMs < maxAgeMs) return known.epoch
      return request ?? refresh()
    },
  }
}

export type RedisEpoch = ReturnType<typeof createRedisEpoch>
