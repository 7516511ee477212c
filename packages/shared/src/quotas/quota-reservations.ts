import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { defineKeepFor } from '../service/keep-for.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

/** Totals are compared with S3 once a day, to correct what was missed. */
const wholeTtlMs = dayMs
/** The same for an owner of whom S3 has nothing, which takes one request. Anybody can be such an owner. */
const emptyWholeTtlMs = hourMs
/** The counts live for this long after they are not needed any more. */
const marginMs = hourMs
const todayTtlMs = dayMs + hourMs
/** How many uploads one script call adopts. */
const adoptBatch = 500

/** An owner's limits in bytes and files; undefined for no limit. */
export type QuotaLimits = {
  bytesTotal?: number | undefined
  filesTotal?: number | undefined
  bytesPerDay?: number | undefined
  filesPerDay?: number | undefined
}

/** Limits of the files and bytes of one address in a day; undefined for no limit. */
export type AddressQuotaLimits = Pick<QuotaLimits, 'bytesPerDay' | 'filesPerDay'>

/** The order in which limits are checked and passed to the script. */
const limitNames = ['bytesTotal', 'filesTotal', 'bytesPerDay', 'filesPerDay'] as const
export type QuotaLimit = (typeof limitNames)[number]

/** The result of a reservation. `unknown`: Redis has no totals of this owner, so they must be computed from S3. */
export type Reservation =
  | { outcome: 'reserved' }
  | { outcome: 'unknown' }
  | { outcome: 'refused'; by: QuotaLimit; limit: number; remaining: number }

/**
 * Lua: defines `keepCounts`, which lets counts live as long as they are known to agree with S3, and until a reservation is
 * checked. After that they are computed from S3 again.
 */
const defineKeepCounts = `${defineKeepFor}
local function keepCounts(totals, held, open, whole, overdueAt)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local life = math.max(tonumber(overdueAt) - now, redis.call('PTTL', whole), 0) + ${marginMs}
  for _, key in ipairs({totals, held, open}) do keepFor(key, string.format('%.0f', life)) end
end
`

/**
 * Reserves quota for an upload, or changes the size of its reservation, if all limits allow it.
 *
 * KEYS: totals, held, open, whole, day. ARGV: id, bytes, when to check for the file in ms since 1970, expiry of the day in
 * ms, then the four limits, -1 for none.
 */
const reserveScript = redisScript(`${defineKeepCounts}
if redis.call('EXISTS', KEYS[4]) == 0 then return {'unknown'} end
local before = redis.call('HGET', KEYS[2], ARGV[1])
local bytes = tonumber(ARGV[2]) - (tonumber(before) or 0)
local files = before and 0 or 1
local totals = redis.call('HMGET', KEYS[1], 'bytes', 'files')
local day = redis.call('HMGET', KEYS[5], 'bytes', 'files')
local used = {totals[1], totals[2], day[1], day[2]}
local more = {bytes, files, bytes, files}
for i = 1, 4 do
  local limit = tonumber(ARGV[4 + i])
  local left = limit - (tonumber(used[i]) or 0)
  if limit >= 0 and more[i] > 0 and more[i] > left then return {'refused', i - 1, limit, math.max(left, 0)} end
end
for _, key in ipairs({KEYS[1], KEYS[5]}) do
  redis.call('HINCRBY', key, 'bytes', string.format('%.0f', bytes))
  redis.call('HINCRBY', key, 'files', files)
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
keepCounts(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3])
redis.call('PEXPIRE', KEYS[5], ARGV[4])
return {'reserved'}
`)

/** KEYS: totals, held, open, day. ARGV: id, '1' to release it from the day as well. */
const releaseScript = redisScript(`
local bytes = redis.call('HGET', KEYS[2], ARGV[1])
if not bytes then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
local keys = {KEYS[1]}
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[4]) == 1 then keys[2] = KEYS[4] end
for _, key in ipairs(keys) do
  redis.call('HINCRBY', key, 'bytes', string.format('%.0f', 0 - (tonumber(bytes) or 0)))
  redis.call('HINCRBY', key, 'files', -1)
end
return 1
`)

/** KEYS: totals, held, open. ARGV: id, bytes. */
const confirmScript = redisScript(`
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not before then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'bytes', string.format('%.0f', tonumber(ARGV[2]) - (tonumber(before) or 0)))
return 1
`)

/** KEYS: totals, held, open, whole, as in `keepCounts`. ARGV: id, when to check for the file in ms since 1970. */
const extendScript = redisScript(`${defineKeepCounts}
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
keepCounts(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[2])
return 1
`)

/** KEYS: totals, held, today. ARGV: expiry of the day in ms, then for each upload id, bytes and '1' if it is of today. */
const adoptScript = redisScript(`
for i = 2, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[i + 1])
    redis.call('HINCRBY', KEYS[1], 'files', 1)
    if ARGV[i + 2] == '1' then
      redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[i + 1])
      redis.call('HINCRBY', KEYS[3], 'files', 1)
      redis.call('PEXPIRE', KEYS[3], ARGV[1])
    end
  end
end
`)

/** Records that the counts agree with S3. KEYS: totals, held, open, whole. ARGV: for how long, in ms. */
const wholeScript = redisScript(`${defineKeepCounts}
redis.call('SET', KEYS[4], 1, 'PX', ARGV[1])
keepCounts(KEYS[1], KEYS[2], KEYS[3], KEYS[4], 0)
`)

/**
 * Stores each owner's quota reservations by upload, so that nothing is counted or released twice. This is a cache: the
 * totals can be computed from S3's listing of the originals.
 *
 *   {prefix}:{owner}:quota              hash: bytes and files in total
 *   {prefix}:{owner}:quota:held         hash: the bytes of each upload, by its id
 *   {prefix}:{owner}:quota:open         sorted set: announced uploads, by when to check whether they arrived
 *   {prefix}:{owner}:quota:whole        exists while the above is known to agree with S3
 *   {prefix}:{owner}:quota:{day}        hash: bytes and files announced on a day (UTC)
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 */
export function createQuotaReservations({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = (owner: string, name = '') => `${prefix}:{${owner}}:quota${name}`
  const countKeys = (owner: string) => ['', ':held', ':open', ':whole'].map((name) => key(owner, name))
  const dayKey = (owner: string, timeMs: number) => key(owner, `:${dayOf(timeMs)}`)

  return {
    /**
     * Reserves quota for an upload. A second call changes the reservation's size.
     * @param overdueAtMs when the file should have arrived at the latest, ms since 1970
     */
    async reserve(
      { owner, id }: UploadAddress,
      bytes: number,
      overdueAtMs: number,
      limits: QuotaLimits,
    ): Promise<Reservation> {
      const result = await runScript(
        redis,
        reserveScript,
        5,
        ...countKeys(owner),
        dayKey(owner, uploadIdTimeMs(id)),
        ...[id, bytes, overdueAtMs, todayTtlMs],
        ...limitNames.map((name) => limits[name] ?? -1),
      )
      const [outcome, by, limit, remaining] = Array.isArray(result) ? result : []
      if (outcome !== 'refused') return { outcome: outcome === 'reserved' ? 'reserved' : 'unknown' }
      const refusedBy = limitNames[Number(by)] ?? 'bytesTotal'
      return { outcome, by: refusedBy, limit: Number(limit), remaining: Number(remaining) }
    },

    /**
     * Changes when the file of an announced upload should have arrived. Does nothing if it arrived or has no reservation.
     * @param overdueAtMs ms since 1970
     */
    async extend({ owner, id }: UploadAddress, overdueAtMs: number): Promise<void> {
      await runScript(redis, extendScript, 4, ...countKeys(owner), id, overdueAtMs)
    },

    /**
     * Releases an upload's reservation. Does nothing if there is none.
     * @param ofToday also releases it from the day: the announcement failed, through no fault of the owner
     */
    async release({ owner, id }: UploadAddress, { ofToday = false } = {}): Promise<void> {
      await runScript(
        redis,
        releaseScript,
        4,
        ...[key(owner), key(owner, ':held'), key(owner, ':open'), dayKey(owner, uploadIdTimeMs(id))],
        ...[id, ofToday ? '1' : '0'],
      )
    },

    /** Records that an announced upload arrived with this size. */
    async confirm({ owner, id }: UploadAddress, bytes: number): Promise<void> {
      await runScript(
        redis,
        confirmScript,
        3,
        key(owner),
        key(owner, ':held'),
        key(owner, ':open'),
        id,
        bytes,
      )
    },

    /** Returns the ids of announced uploads that should have arrived. */
    async overdue(owner: string, nowMs: number, limit: number): Promise<string[]> {
      return redis.zrangebyscore(key(owner, ':open'), '-inf', nowMs, 'LIMIT', 0, limit)
    },

    /** Returns the ids of uploads that are known to have arrived. */
    async arrived(owner: string): Promise<string[]> {
      const [held, open] = await Promise.all([
        redis.hkeys(key(owner, ':held')),
        redis.zrangebyscore(key(owner, ':open'), '-inf', '+inf'),
      ])
      const announced = new Set(open)
      return held.filter((id) => !announced.has(id))
    },

    /** Adds uploads that S3 has and Redis does not, and records for a day, or an hour if there are none, that the two agree. */
    async adopt(owner: string, uploads: { id: string; bytes: number }[], nowMs: number): Promise<void> {
      const today = dayOf(nowMs)
      for (let i = 0; i < uploads.length; i += adoptBatch) {
        await runScript(
          redis,
          adoptScript,
          3,
          ...[key(owner), key(owner, ':held'), dayKey(owner, nowMs), todayTtlMs],
          ...uploads
            .slice(i, i + adoptBatch)
            .flatMap(({ id, bytes }) => [id, bytes, dayOf(uploadIdTimeMs(id)) === today ? '1' : '0']),
        )
      }
      const wholeMs = uploads.length === 0 ? emptyWholeTtlMs : wholeTtlMs
      await runScript(redis, wholeScript, 4, ...countKeys(owner), wholeMs)
    },
  }
}

export type QuotaReservations = ReturnType<typeof createQuotaReservations>

/** Returns the day (UTC) of a time, as keys contain it. @param timeMs ms since 1970 */
export function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
