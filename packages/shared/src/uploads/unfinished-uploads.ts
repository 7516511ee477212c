import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { AppError } from '../service/app-error.ts'
import { defineKeepFor } from '../service/keep-for.ts'
import type { CountedNetwork } from './counted-networks.ts'
import { arrivalGraceMs } from './upload.ts'
import type { UploadAddress } from './upload-address.ts'
import { createUploadKeys } from './upload-keys.ts'

/** How many uploads may be announced whose bytes have not arrived; 0: no limit. */
export type UnfinishedLimits = { owner: number; address: number }

/**
 * Counts an upload in all sets, unless one of them is full. Each set forgets what has expired.
 *
 * KEYS: sets. ARGV: id, until when it counts in ms since 1970, then the limit of each set.
 *
 * Returns 0, or else the number of the full set, how many it has, and the ms until its first one expires.
 */
const addScript = redisScript(`${defineKeepFor}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for i, set in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
  local count = redis.call('ZCARD', set)
  if count >= tonumber(ARGV[2 + i]) and not redis.call('ZSCORE', set, ARGV[1]) then
    local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
    return {i, count, math.max(0, tonumber(first[2] or now) - now)}
  end
end
for _, set in ipairs(KEYS) do
  redis.call('ZADD', set, ARGV[2], ARGV[1])
  keepFor(set, string.format('%.0f', math.max(1, tonumber(ARGV[2]) - now)))
end
return {0}
`)

/**
 * Limits the uploads that were announced and have not arrived, over all instances: of each owner, and of each network of
 * the clients without an API key. Each of them costs some KB of Redis, and announcing costs a client nothing.
 *
 *   {prefix}:{owner}:unfinished      sorted set of ids by the time at which their records expire
 *   {prefix}:unfinished:{network}    the same of a network
 *
 * An upload stops counting in the script that changes its record (`upload-records.ts`): when its bytes arrive, or when it is
 * forgotten. If it ends without bytes, it counts for some hours more, since it leaves something in Redis. In any case it
 * stops when it expires.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 */
export function createUnfinishedUploads(deps: { redis: Redis; prefix: string; limits: UnfinishedLimits }) {
  const { redis, prefix, limits } = deps
  const keys = createUploadKeys(prefix)

  function setsOf(owner: string, networks: readonly CountedNetwork[]) {
    return [
      { key: keys.unfinished(owner), limit: limits.owner, holder: 'owner' },
      ...networks.map(({ name, share }) => ({
        key: keys.unfinishedOf(name),
        limit: limits.address * share,
        holder: 'address',
      })),
    ].filter(({ limit }) => limit > 0)
  }

  return {
    /**
     * Counts an upload. A second call for the same upload changes only until when it counts.
     *
     * @param networks the networks of the client; none for a client with an API key
     * @param expiresAtMs when its bytes should have arrived, ms since 1970
     * @throws AppError `too_many_unfinished_uploads`
     */
    async add(
      { owner, id }: UploadAddress,
      networks: readonly CountedNetwork[],
      expiresAtMs: number,
    ): Promise<void> {
      const sets = setsOf(owner, networks)
      if (sets.length === 0) return
      const result = await runScript(
        redis,
        addScript,
        sets.length,
        ...sets.map(({ key }) => key),
        ...[id, expiresAtMs + arrivalGraceMs],
        ...sets.map(({ limit }) => limit),
      )
      const [full, count, waitMs] = Array.isArray(result) ? result.map(Number) : []
      const set = full ? sets[full - 1] : undefined
      if (!set) return
      const remaining = Math.max(0, set.limit - (count ?? 0))
      throw new AppError('too_many_unfinished_uploads', {
        message: `The limit is ${set.limit} announced uploads without a file for one ${set.holder}; ${remaining} are left.`,
        limit: set.limit,
        remaining,
        retryAfterSeconds: Math.max(1, Math.ceil((waitMs ?? 0) / 1000)),
      })
    },

    /** Stops counting an upload that has no record. */
    async remove({ owner, id }: UploadAddress, networks: readonly CountedNetwork[]): Promise<void> {
      await Promise.all(setsOf(owner, networks).map(({ key }) => redis.zrem(key, id)))
    },
  }
}

export type UnfinishedUploads = ReturnType<typeof createUnfinishedUploads>
