import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { defineKeepFor } from '../service/keep-for.ts'
import type { CountedNetwork } from '../uploads/counted-networks.ts'
import { quotaError } from './quota-error.ts'
import { type AddressQuotaLimits, dayOf } from './quota-reservations.ts'

/** A day's counts live this long after the last change, in ms: longer than the day. */
const dayLifeMs = 25 * 60 * 60 * 1000

/** The order in which limits are checked and passed to the script. */
const limitNames = ['bytesPerDay', 'filesPerDay'] as const

/** What an upload adds to its day. Negative if it becomes smaller. */
export type AddressUse = { bytes: number; files: number }

/**
 * Counts an upload for all networks, unless it exceeds the limit of one.
 *
 * KEYS: the day of each network. ARGV: bytes, files, life of the day in ms, then for each network both limits, -1 for none.
 */
const reserveScript = redisScript(`${defineKeepFor}
local more = {tonumber(ARGV[1]), tonumber(ARGV[2])}
for n, day in ipairs(KEYS) do
  local used = redis.call('HMGET', day, 'bytes', 'files')
  for i = 1, 2 do
    local limit = tonumber(ARGV[2 * n + 1 + i])
    local left = limit - (tonumber(used[i]) or 0)
    if limit >= 0 and more[i] > 0 and more[i] > left then return {i, limit, math.max(left, 0)} end
  end
end
for _, day in ipairs(KEYS) do
  redis.call('HINCRBY', day, 'bytes', ARGV[1])
  redis.call('HINCRBY', day, 'files', ARGV[2])
  keepFor(day, ARGV[3])
end
return {0}
`)

/** Changes days that still exist. KEYS: the day of each network. ARGV: bytes, files. */
const cancelScript = redisScript(`
for _, day in ipairs(KEYS) do
  if redis.call('EXISTS', day) == 1 then
    redis.call('HINCRBY', day, 'bytes', ARGV[1])
    redis.call('HINCRBY', day, 'files', ARGV[2])
  end
end
`)

/**
 * Limits the files and bytes that clients without an API key announce in a day (UTC), by network: each of their requests can
 * have an owner of its own, with a quota of its own. Only sums are kept. S3 does not know networks, so a Redis that lost its
 * data begins at 0.
 *
 *   {prefix}:quota:{network}:{day}    hash: bytes and files announced on a day
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 * @param deps.limits limits of one network with share 1; without any, nothing is counted
 */
export function createAddressQuota(deps: { redis: Redis; prefix: string; limits: AddressQuotaLimits }) {
  const { redis, prefix, limits } = deps
  const isLimited = limitNames.some((name) => limits[name] !== undefined)
  const dayKeys = (networks: readonly CountedNetwork[], timeMs: number) =>
    networks.map(({ name }) => `${prefix}:quota:${name}:${dayOf(timeMs)}`)

  return {
    isLimited,

    /**
     * Counts an upload, or the change of its size.
     *
     * @param timeMs when the upload was announced, ms since 1970
     * @throws AppError `quota_exceeded` if it fits into no day, `quota_exhausted_today` if it may fit tomorrow
     */
    async reserve(networks: readonly CountedNetwork[], use: AddressUse, timeMs: number): Promise<void> {
      if (!isLimited || networks.length === 0) return
      const result = await runScript(
        redis,
        reserveScript,
        networks.length,
        ...dayKeys(networks, timeMs),
        ...[use.bytes, use.files, dayLifeMs],
        ...networks.flatMap(({ share }) => limitNames.map((name) => limitOf(limits[name], share))),
      )
      const [by = 0, limit = 0, remaining = 0] = Array.isArray(result) ? result.map(Number) : []
      const refusedBy = limitNames[by - 1]
      if (refusedBy) throw quotaError({ by: refusedBy, limit, remaining, holder: 'one address' }, use.bytes)
    },

    /** Undoes `reserve`, with the same arguments. */
    async cancel(networks: readonly CountedNetwork[], use: AddressUse, timeMs: number): Promise<void> {
      if (!isLimited || networks.length === 0) return
      await runScript(
        redis,
        cancelScript,
        networks.length,
        ...dayKeys(networks, timeMs),
        -use.bytes,
        -use.files,
      )
    },
  }
}

export type AddressQuota = ReturnType<typeof createAddressQuota>

/** Returns the limit of a network as the script reads it. */
function limitOf(limit: number | undefined, share: number): number {
  return limit === undefined ? -1 : limit * share
}
