import { createHash, randomUUID } from 'node:crypto'
import type { RedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { type RedisScript, redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { keyedUploadId, uploadIdTail, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import Type from 'typebox'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { FindLostId } from './find-lost-id.ts'

/** The header that makes a request repeatable (draft-ietf-httpapi-idempotency-key-header). */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[!-~]{1,255}$',
      description:
        'belongs to one upload for 24 hours: a repeated request continues with it and creates no other',
    }),
  ),
})

/** How long a key belongs to its upload, in ms since its first request. */
const keyLifeMs = 24 * 60 * 60 * 1000
/** How long a key stays locked after its instance died, in ms. */
const lockMs = 15_000
/** `Retry-After` is at most this long, in seconds: a live request usually ends earlier than its lease. */
const maxRetryAfterSeconds = 5
/** Hex digits of a fingerprint, which a holder's token ends with. */
const fingerprintLength = 64

/**
 * Sets the remaining life of a key that has none: one that was just written. All others end when their first request
 * is a day old. ARGV[1]: life in ms.
 */
const expire = `if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end`

/**
 * Locks the key, and returns its id, '' if it has none. The fingerprint of an earlier request is kept until it is known that
 * nothing came of it.
 *
 * Returns also whether the fingerprint is the `same` as this one or an `other`.
 *
 * KEYS: key, lock. ARGV: life of the key in ms, holder, fingerprint, life of the lock in ms.
 */
const beginScript = redisScript(`
local fingerprint, id = unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'id'))
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then
  local isRunning = string.sub(holder, -${fingerprintLength}) == ARGV[3]
  if isRunning or fingerprint == ARGV[3] then return {'in use', redis.call('PTTL', KEYS[2])} end
  return {'reused'}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
return {'begun', id or '', fingerprint == ARGV[3] and 'same' or 'other'}
`)

/** Stores id and fingerprint, if the lock is ours. KEYS as above. ARGV: life, holder, fingerprint, id. */
const keepScript = redisScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3])
${expire}
return 1
`)

/**
 * Renews the lock. If Redis lost lock and key, both are stored again. If only the lock is gone, another request has
 * had it meanwhile. KEYS as above. ARGV: life, holder, fingerprint, id, life of the lock in ms.
 */
const renewScript = redisScript(`
local holder = redis.call('GET', KEYS[2])
local known = redis.call('EXISTS', KEYS[1]) == 1
if holder and holder ~= ARGV[2] or not holder and known then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[5])
if not known then
  redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3])
  ${expire}
end
return 1
`)

/**
 * Ends a request that succeeded: stores the id, in case Redis lost it meanwhile, and releases the lock, unless another request
 * has had it. KEYS as above. ARGV: life, holder, fingerprint, id.
 */
const endScript = redisScript(`
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return 0 end
if not holder and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3])
${expire}
redis.call('DEL', KEYS[2])
return 1
`)

/** A request that its client may send again. */
export type RepeatableRequest = {
  owner: string
  /** The header's value. */
  key: string
  /** The content that must be the same if the request is sent again: JSON values in any order of fields. */
  content: unknown
}

/** The id of the upload that belongs to a key. */
export type KeyedId = {
  id: string
  /** Whether an earlier request with the key may have begun the upload. */
  isRepeated: boolean
  /**
   * Stores that the id belongs to the key. Call it before anything of the upload is begun, and not before the request is
   * known to be acceptable: refused requests leave nothing in Redis.
   *
   * @throws AppError `idempotency_key_in_use` if another request has the key meanwhile
   */
  keep: () => Promise<void>
  /**
   * Whether this request still has the key. An instance that was suspended may find that another one took over. Then
   * it must undo nothing.
   */
  isHeld: () => Promise<boolean>
}

/** Returns how long ago the first request with a key began, in ms. It is 0 if this request is the first. */
export function keyedAgeMs(keyed: KeyedId | undefined): number {
  return keyed?.isRepeated ? Math.max(0, Date.now() - uploadIdTimeMs(keyed.id)) : 0
}

/**
 * Runs a request once, even if it is sent several times, or to several instances. The key determines the upload's id
 * before the work begins, so a request whose instance died is continued with the same id
 * (docs/decisions/0023-let-the-upload-id-belong-to-the-key.md). Stored in Redis for a day, by owner:
 *
 *   {prefix}:{owner}:idempotency:{SHA-256 of the key}        hash: id and fingerprint of the request
 *   {prefix}:{owner}:idempotency-lock:{SHA-256 of the key}   lease of the running request
 *
 * No response is stored: a repeated request gets the upload as it is now, with URLs that are signed anew. After a failure the
 * key keeps its id, if anything was begun (docs/decisions/0005-release-the-idempotency-key-after-a-failure.md).
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.epoch whether Redis may have lost keys
 * @param deps.findLostId finds the id of a key that Redis lost
 */
export function createRespondOnce(deps: {
  redis: Redis
  prefix: string
  epoch: Pick<RedisEpoch, 'current'>
  findLostId: FindLostId
}) {
  const { redis, prefix, epoch, findLostId } = deps

  /**
   * Runs `work`, unless an earlier run stored the upload's bytes.
   *
   * @param options.findBegun returns the upload that an earlier request has begun, if there is one
   * @param options.respondAgain creates the response for an upload that has arrived
   * @param work creates the response. It calls `keep` before it begins anything
   * @throws AppError `idempotency_key_reused` if the key belongs to a different request,
   *   `idempotency_key_in_use` while the first request is still running, and whatever `work` throws
   */
  return async function respondOnce<Result>(
    { owner, key, content }: RepeatableRequest,
    {
      findBegun,
      respondAgain,
    }: {
      findBegun: (address: UploadAddress) => Promise<Upload | undefined>
      respondAgain: (upload: Upload) => Result
    },
    work: (keyed: KeyedId) => Promise<Result>,
  ): Promise<Result> {
    const name = sha256(key)
    const redisKey = `${prefix}:{${owner}}:idempotency:${name}`
    const lockKey = `${prefix}:{${owner}}:idempotency-lock:${name}`
    const fingerprint = sha256(JSON.stringify(sortFields(content)))
    const holder = `${randomUUID()}:${fingerprint}`
    const run = (script: RedisScript, ...values: (string | number)[]) =>
      runScript(redis, script, 2, redisKey, lockKey, keyLifeMs, holder, fingerprint, ...values)

    const nowMs = Date.now()
    const mayBeLost = (await epoch.current()) > nowMs - keyLifeMs
    const begun = await run(beginScript, lockMs)
    const [state, value, known] = Array.isArray(begun) ? begun.map(String) : []
    if (state === 'reused') throw new AppError('idempotency_key_reused')
    if (state === 'in use') throw keyInUse(Number(value))

    const lock = createRedisLease({ redis, key: lockKey, holder, ttlMs: lockMs })
    /** The id that Redis has. */
    let storedId = value || undefined
    const isHeld = async () => {
      if (storedId === undefined) return lock.renew()
      return (await run(renewScript, storedId, lockMs)) === 1
    }
    const renewal = setInterval(() => {
      // If a renewal fails, the next one is still in time.
      isHeld().catch(() => undefined)
    }, lockMs / 3)
    try {
      const newId = keyedUploadId({ owner, key }, nowMs)
      const earlierId =
        storedId ??
        (mayBeLost
          ? await findLostId(owner, { tail: uploadIdTail(newId), sinceMs: nowMs - keyLifeMs })
          : undefined)
      const earlier = earlierId === undefined ? undefined : await findBegun({ owner, id: earlierId })
      if (earlier && storedId !== undefined && known === 'other') throw new AppError('idempotency_key_reused')
      const id = earlierId ?? newId
      const keep = async () => {
        if (storedId !== undefined && known === 'same') return
        if ((await run(keepScript, id)) !== 1) throw keyInUse(await redis.pttl(lockKey))
        storedId = id
      }
      const result =
        earlier && earlier.state !== 'awaiting'
          ? respondAgain(earlier)
          : await work({ id, isRepeated: earlierId !== undefined, keep, isHeld })
      await run(endScript, id)
      return result
    } catch (error) {
      // If Redis does not respond, the lock expires by itself.
      await lock.release().catch(() => undefined)
      throw error
    } finally {
      clearInterval(renewal)
    }
  }
}

export type RespondOnce = ReturnType<typeof createRespondOnce>

/**
 * Applies the `Idempotency-Key` header of requests that have one.
 *
 * @param deps.receiveUpload records bytes that S3 has, although the instance that sent them could not record them
 */
export function createWithIdempotencyKey(deps: {
  owner: RequestOwner
  respondOnce: RespondOnce
  records: Pick<UploadRecords, 'find'>
  receiveUpload: ReceiveUpload
  isErased: IsErased
}) {
  const { owner, respondOnce, records, receiveUpload, isErased } = deps

  /**
   * Creates a response, once for each key.
   *
   * @param options.content the content that must be the same if the request is sent again
   * @param options.respondAgain creates the response for an upload that an earlier request began and that has
   *   arrived
   * @param respond creates the response for an owner, with the id of the key if there is one. A client without
   *   a session gets one; it has no keys
   * @throws AppError as `respondOnce` does, `upload_not_found` if the upload of the key was erased, and
   *   whatever `respond` throws
   */
  return async function withIdempotencyKey<Result>(
    request: FastifyRequest,
    {
      key,
      content,
      ...options
    }: {
      key: string | undefined
      content: unknown
      respondAgain: (upload: Upload) => Result
    },
    respond: (ownerId: string, keyed?: KeyedId) => Promise<Result>,
  ): Promise<Result> {
    const ownerId = key === undefined ? undefined : await owner.findForUpload(request)
    if (key === undefined || ownerId === undefined) return respond(await owner.findOrCreate(request))
    return respondOnce({ owner: ownerId, key, content }, { ...options, findBegun }, (keyed) =>
      respond(ownerId, keyed),
    )
  }

  async function findBegun(address: UploadAddress): Promise<Upload | undefined> {
    if (await isErased(address)) {
      throw new AppError('upload_not_found', { message: 'The upload of this Idempotency-Key was erased.' })
    }
    const found = (await receiveUpload(address)) ?? (await records.find(address))
    return found?.upload
  }
}

export type WithIdempotencyKey = ReturnType<typeof createWithIdempotencyKey>

/** @param leaseMs remaining life of the lock, in ms; negative if it has just ended */
function keyInUse(leaseMs: number): AppError {
  const leaseSeconds = Math.max(1, Math.ceil(leaseMs / 1000))
  return new AppError('idempotency_key_in_use', {
    retryAfterSeconds: Math.min(leaseSeconds, maxRetryAfterSeconds),
  })
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Returns the same JSON value with the fields of its objects in alphabetical order. */
function sortFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortFields)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => [name, sortFields(field)]),
  )
}
