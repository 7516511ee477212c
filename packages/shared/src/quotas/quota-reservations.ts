import type { Redis } from 'ioredis'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'

const dayMs = 24 * 60 * 60 * 1000

/** The totals of who uploads nothing for this long are had back from S3. */
const totalsTtlMs = 30 * dayMs
/** Totals are compared with S3 once a day, so what was missed is put right. */
const wholeTtlMs = dayMs
const todayTtlMs = 2 * dayMs
/** How many uploads one script adopts. */
const batch = 500

/** What an owner may have, in bytes and in files; undefined for no limit. */
export type QuotaLimits = {
  bytesTotal?: number | undefined
  filesTotal?: number | undefined
  bytesPerDay?: number | undefined
  filesPerDay?: number | undefined
}

/** The order in which limits are looked at, and in which the script is told of them. */
const limitNames = ['bytesTotal', 'filesTotal', 'bytesPerDay', 'filesPerDay'] as const
export type QuotaLimit = (typeof limitNames)[number]

/** What became of a reservation. `unknown`: Redis does not know what the owner has, so S3 is to be asked. */
export type Reservation =
  | { outcome: 'reserved' }
  | { outcome: 'unknown' }
  | { outcome: 'refused'; by: QuotaLimit; limit: number; remaining: number }

/**
 * Takes room for an upload, or changes the room that it has, where all limits allow it.
 *
 * KEYS: totals, held, open, whole, day. ARGV: id, bytes, when to look for it in ms since 1970, life of the
 * totals in ms, life of the day in ms, then the four limits, -1 for none.
 */
const reserveScript = `
if redis.call('EXISTS', KEYS[4]) == 0 then return {'unknown'} end
local before = redis.call('HGET', KEYS[2], ARGV[1])
local bytes = tonumber(ARGV[2]) - (tonumber(before) or 0)
local files = before and 0 or 1
local totals = redis.call('HMGET', KEYS[1], 'bytes', 'files')
local day = redis.call('HMGET', KEYS[5], 'bytes', 'files')
local used = {totals[1], totals[2], day[1], day[2]}
local more = {bytes, files, bytes, files}
for i = 1, 4 do
  local limit = tonumber(ARGV[5 + i])
  local left = limit - (tonumber(used[i]) or 0)
  if limit >= 0 and more[i] > 0 and more[i] > left then return {'refused', i - 1, limit, math.max(left, 0)} end
end
for _, key in ipairs({KEYS[1], KEYS[5]}) do
  redis.call('HINCRBY', key, 'bytes', string.format('%.0f', bytes))
  redis.call('HINCRBY', key, 'files', files)
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
redis.call('PEXPIRE', KEYS[5], ARGV[5])
return {'reserved'}
`

/** KEYS: totals, held, open, day. ARGV: id, '1' where the day is to have it back, too. */
const releaseScript = `
local bytes = redis.call('HGET', KEYS[2], ARGV[1])
if not bytes then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
local keys = {KEYS[1]}
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[4]) == 1 then keys[2] = KEYS[4] end
for _, key in ipairs(keys) do
  redis.call('HINCRBY', key, 'bytes', string.format('%.0f', 0 - tonumber(bytes)))
  redis.call('HINCRBY', key, 'files', -1)
end
return 1
`

/** KEYS: totals, held, open. ARGV: id, bytes. */
const confirmScript = `
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not before then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'bytes', string.format('%.0f', tonumber(ARGV[2]) - tonumber(before)))
return 1
`

/** KEYS: totals, held, today. ARGV: both lives in ms, then id, bytes and '1' for one of today, of each. */
const adoptScript = `
for i = 3, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[i + 1])
    redis.call('HINCRBY', KEYS[1], 'files', 1)
    if ARGV[i + 2] == '1' then
      redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[i + 1])
      redis.call('HINCRBY', KEYS[3], 'files', 1)
      redis.call('PEXPIRE', KEYS[3], ARGV[2])
    end
  end
end
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
`

/**
 * How much each owner has, by upload, so that nothing is counted or given back twice. Like all in Redis it is
 * a cache: S3's listing of the originals can give it back.
 *
 *   {prefix}:{owner}:quota              hash: bytes and files in all
 *   {prefix}:{owner}:quota:held         hash: the bytes of each upload, by its id
 *   {prefix}:{owner}:quota:open         sorted set: announced uploads, by when to look whether they came
 *   {prefix}:{owner}:quota:whole        there while the above is known to agree with S3
 *   {prefix}:{owner}:quota:{day}        hash: bytes and files announced on a day (UTC)
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 */
export function createQuotaReservations({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = (owner: string, name = '') => `${prefix}:{${owner}}:quota${name}`
  const dayKey = (owner: string, timeMs: number) => key(owner, `:${dayOf(timeMs)}`)

  return {
    /**
     * Takes room for an upload; called again it changes the room to another size.
     * @param lookAtMs when it should have come at the latest, ms since 1970
     */
    async reserve(
      { owner, id }: UploadAddress,
      bytes: number,
      lookAtMs: number,
      limits: QuotaLimits,
    ): Promise<Reservation> {
      const answer = await redis.eval(
        reserveScript,
        5,
        ...[key(owner), key(owner, ':held'), key(owner, ':open'), key(owner, ':whole')],
        dayKey(owner, uploadIdTimeMs(id)),
        ...[id, bytes, lookAtMs, totalsTtlMs, todayTtlMs],
        ...limitNames.map((name) => limits[name] ?? -1),
      )
      const [outcome, by, limit, remaining] = Array.isArray(answer) ? answer : []
      if (outcome !== 'refused') return { outcome: outcome === 'reserved' ? 'reserved' : 'unknown' }
      const refusedBy = limitNames[Number(by)] ?? 'bytesTotal'
      return { outcome, by: refusedBy, limit: Number(limit), remaining: Number(remaining) }
    },

    /**
     * Gives an upload's room back. Of one that has none, it changes nothing.
     * @param ofToday whether it also is not to count as announced: it never came to be, by no fault of the owner
     */
    async release({ owner, id }: UploadAddress, { ofToday = false } = {}): Promise<void> {
      await redis.eval(
        releaseScript,
        4,
        ...[key(owner), key(owner, ':held'), key(owner, ':open'), dayKey(owner, uploadIdTimeMs(id))],
        ...[id, ofToday ? '1' : '0'],
      )
    },

    /** Says that an announced upload has come, with these bytes. */
    async confirm({ owner, id }: UploadAddress, bytes: number): Promise<void> {
      await redis.eval(confirmScript, 3, key(owner), key(owner, ':held'), key(owner, ':open'), id, bytes)
    },

    /** The ids of announced uploads that should have come by now. */
    async due(owner: string, nowMs: number, limit: number): Promise<string[]> {
      return redis.zrangebyscore(key(owner, ':open'), '-inf', nowMs, 'LIMIT', 0, limit)
    },

    /** The ids of uploads that are known to have come. */
    async arrived(owner: string): Promise<string[]> {
      const [held, open] = await Promise.all([
        redis.hkeys(key(owner, ':held')),
        redis.zrangebyscore(key(owner, ':open'), '-inf', '+inf'),
      ])
      const awaited = new Set(open)
      return held.filter((id) => !awaited.has(id))
    },

    /** Counts what S3 has and Redis did not know of, and remembers for a day that the two agree. */
    async adopt(owner: string, uploads: { id: string; bytes: number }[], nowMs: number): Promise<void> {
      const today = dayOf(nowMs)
      for (let i = 0; i < uploads.length; i += batch) {
        await redis.eval(
          adoptScript,
          3,
          ...[key(owner), key(owner, ':held'), dayKey(owner, nowMs), totalsTtlMs, todayTtlMs],
          ...uploads
            .slice(i, i + batch)
            .flatMap(({ id, bytes }) => [id, bytes, dayOf(uploadIdTimeMs(id)) === today ? '1' : '0']),
        )
      }
      await redis.set(key(owner, ':whole'), 1, 'PX', wholeTtlMs)
    },
  }
}

export type QuotaReservations = ReturnType<typeof createQuotaReservations>

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
