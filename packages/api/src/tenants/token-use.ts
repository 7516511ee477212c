import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { arrivalGraceMs, hasExpired, isFinished, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Redis } from 'ioredis'
import type { Caller } from '../credentials/caller.ts'

/** How long the counts are kept after the token has ended, in ms: uploads that began before may still come in. */
const marginMs = 24 * 60 * 60 * 1000
/** How many overdue uploads are checked at once. */
const overdueBatch = 64

/** The order in which limits are checked and passed to the script. */
const limitNames = ['maxFiles', 'maxBytes'] as const

/** Who announces a file. */
type Bearer = Pick<Caller, 'id' | 'endsAtMs' | 'limits'>

/**
 * Counts an upload, or changes its size, if both limits allow it. A file of unknown size needs one byte at least.
 *
 * KEYS: used, open. ARGV: id, bytes, when to check for the file and until when to keep the counts (both ms since 1970),
 * then the limits, -1 for none.
 *
 * Returns 0, or else the number of the limit and what is left of it.
 */
const reserveScript = redisScript(`
local before = redis.call('HGET', KEYS[1], ARGV[1])
local more = {before and 0 or 1, tonumber(ARGV[2]) - (tonumber(before) or 0)}
local needed = {more[1], before and more[2] or math.max(more[2], 1)}
local used = redis.call('HMGET', KEYS[1], 'files', 'bytes')
for i = 1, 2 do
  local limit = tonumber(ARGV[4 + i])
  local left = limit - (tonumber(used[i]) or 0)
  if limit >= 0 and needed[i] > 0 and needed[i] > left then return {i, math.max(left, 0)} end
end
redis.call('HINCRBY', KEYS[1], 'files', more[1])
redis.call('HINCRBY', KEYS[1], 'bytes', string.format('%.0f', more[2]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ARGV[4]) end
return {0}
`)

/** Stops counting an upload whose file never came. KEYS: used, open. ARGV: id. */
const releaseScript = redisScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
local bytes = redis.call('HGET', KEYS[1], ARGV[1])
if not bytes then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'files', -1)
redis.call('HINCRBY', KEYS[1], 'bytes', string.format('%.0f', 0 - (tonumber(bytes) or 0)))
return 1
`)

/** Counts an upload for good. KEYS: used, open. ARGV: id. */
const confirmScript = redisScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
`)

/**
 * Counts the files and bytes of upload tokens with `maxFiles` or `maxBytes`. Other tokens need no Redis. What has arrived
 * counts for good, also if it is rejected or erased. An upload whose file does not come stops counting when it is
 * erased, and when it has expired. A Redis that lost its data begins at 0: S3 does not know which token a file came with.
 *
 *   {prefix}:{owner}:{token}:used   hash: files, bytes, and the bytes of each open upload, by its id
 *   {prefix}:{owner}:{token}:open   sorted set: open uploads, by when to check whether they arrived
 *
 * Both expire a day after the token.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 */
export function createTokenUse(deps: { redis: Redis; prefix: string; lookup: Pick<UploadLookup, 'find'> }) {
  const { redis, prefix, lookup } = deps
  const openKey = (owner: string, tokenId: string) => `${prefix}:{${owner}}:${tokenId}:open`
  const keysOf = (owner: string, tokenId: string) => [
    `${prefix}:{${owner}}:${tokenId}:used`,
    openKey(owner, tokenId),
  ]

  async function release({ owner, id }: UploadAddress, tokenId: string): Promise<void> {
    await runScript(redis, releaseScript, 2, ...keysOf(owner, tokenId), id)
  }

  async function confirm({ owner, id }: UploadAddress, tokenId: string): Promise<void> {
    await runScript(redis, confirmScript, 2, ...keysOf(owner, tokenId), id)
  }

  /** Checks uploads that should have arrived. */
  async function checkOverdue(owner: string, tokenId: string): Promise<void> {
    const nowMs = Date.now()
    const open = openKey(owner, tokenId)
    const overdue = await redis.zrangebyscore(open, '-inf', nowMs, 'LIMIT', 0, overdueBatch)
    await Promise.all(
      overdue.map(async (id) => {
        const upload = (await lookup.find({ owner, id }))?.upload
        const isOver = upload && !upload.arrival && isFinished(upload)
        if (!upload || isOver || hasExpired(upload, nowMs)) return release({ owner, id }, tokenId)
        if (upload.arrival) return confirm({ owner, id }, tokenId)
        // A long file is still being sent, which has extended its time.
        await redis.zadd(open, 'XX', nowMs + arrivalGraceMs, id)
      }),
    )
  }

  return {
    /**
     * Counts an upload for its token. A second call for the same upload changes its size.
     *
     * @param caller who announces the file. Without limits that are counted, nothing happens
     * @param bytes the file's size; 0 if it is unknown
     * @param expiresAtMs when the file should have arrived, ms since 1970
     * @throws AppError `token_used_up`
     */
    async reserve(
      caller: Bearer | undefined,
      { owner, id }: UploadAddress,
      bytes: number,
      expiresAtMs: number,
    ): Promise<void> {
      if (!caller || !isCounted(caller)) return
      const { id: tokenId, limits = {}, endsAtMs = expiresAtMs } = caller
      await checkOverdue(owner, tokenId)
      const result = await runScript(
        redis,
        reserveScript,
        2,
        ...keysOf(owner, tokenId),
        ...[id, bytes, expiresAtMs + arrivalGraceMs, endsAtMs + marginMs],
        ...limitNames.map((name) => limits[name] ?? -1),
      )
      const [refused = 0, remaining = 0] = Array.isArray(result) ? result.map(Number) : []
      const name = limitNames[refused - 1]
      if (!name) return
      const limit = limits[name] ?? 0
      throw new AppError('token_used_up', {
        message: `${name} of the upload token is ${limit}; ${remaining} are left.`,
        limit,
        remaining,
      })
    },

    /** Undoes `reserve`. */
    async cancel(caller: Bearer | undefined, address: UploadAddress): Promise<void> {
      if (caller && isCounted(caller)) await release(address, caller.id)
    },

    /**
     * Records that an upload is erased. One whose file has not arrived stops counting.
     * @param upload as it was before
     */
    async onErased(upload: Upload): Promise<void> {
      const { token, arrival } = upload
      if (token) await (arrival ? confirm(upload, token) : release(upload, token))
    },
  }
}

export type TokenUse = ReturnType<typeof createTokenUse>

/** Whether the uploads of a caller's token are counted. */
export function isCounted({ limits }: Pick<Caller, 'limits'>): boolean {
  return limits?.maxFiles !== undefined || limits?.maxBytes !== undefined
}
