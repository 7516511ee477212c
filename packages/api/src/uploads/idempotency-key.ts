import { createHash, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { RedisEpoch } from '@millrace/shared/service/redis-epoch.ts'
import { createRedisLease } from '@millrace/shared/service/redis-lease.ts'
import { unreadableRecord } from '@millrace/shared/service/stored-json.ts'
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
        'identifies this request for 24 hours: a repeated request returns the first response and creates nothing',
    }),
  ),
})

const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

/** How long a key belongs to its upload, in ms since its first request. */
const keyLifeMs = 24 * 60 * 60 * 1000
/** How long a key stays locked after its instance died, in ms. */
const defaultLockMs = 15_000
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
 * Locks the key, and returns its id. If Redis has none, it stores the given one, unless that is ''. The fingerprint of an
 * earlier request is kept until it is known that nothing came of it.
 *
 * Returns also what is known of the key: `new` (the given id is stored), `unknown` (nothing is), or whether its
 * fingerprint is the `same` as this one or an `other`.
 *
 * KEYS: key, lock. ARGV: life of the key in ms, holder, fingerprint, life of the lock in ms, id.
 */
const beginScript = `
local fingerprint, answer, id = unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'answer', 'id'))
if answer then
  if fingerprint == ARGV[3] then return {'stored', answer} end
  return {'reused'}
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then
  local isRunning = string.sub(holder, -${fingerprintLength}) == ARGV[3]
  if isRunning or fingerprint == ARGV[3] then return {'in use', redis.call('PTTL', KEYS[2])} end
  return {'reused'}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
if id then return {'begun', id, fingerprint == ARGV[3] and 'same' or 'other'} end
if ARGV[5] == '' then return {'begun', '', 'unknown'} end
redis.call('HSET', KEYS[1], 'id', ARGV[5], 'fingerprint', ARGV[3])
${expire}
return {'begun', ARGV[5], 'new'}
`

/** Stores id and fingerprint, if the lock is ours. KEYS as above. ARGV: life, holder, fingerprint, id. */
const keepScript = `
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3])
${expire}
return 1
`

/**
 * Renews the lock. If Redis lost lock and key, both are stored again. If only the lock is gone, another request has
 * had it meanwhile. KEYS as above. ARGV: life, holder, fingerprint, id, life of the lock in ms.
 */
const renewScript = `
local holder = redis.call('GET', KEYS[2])
local known = redis.call('EXISTS', KEYS[1]) == 1
if holder and holder ~= ARGV[2] or not holder and known then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[5])
if not known then
  redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3])
  ${expire}
end
return 1
`

/**
 * Stores the response and releases the lock, unless another request has the lock or has stored a response. KEYS as
 * above. ARGV: life, holder, fingerprint, id, response.
 */
const storeScript = `
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return 0 end
if not holder and redis.call('HEXISTS', KEYS[1], 'answer') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[4], 'fingerprint', ARGV[3], 'answer', ARGV[5])
${expire}
redis.call('DEL', KEYS[2])
return 1
`

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
 *   {prefix}:{owner}:idempotency:{SHA-256 of the key}        hash: id, fingerprint, and the answer once there is one
 *   {prefix}:{owner}:idempotency-lock:{SHA-256 of the key}   lease of the running request
 *
 * Only successful responses are stored. After a failure the key keeps its id
 * (docs/decisions/0005-release-the-idempotency-key-after-a-failure.md).
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.epoch whether Redis may have lost keys
 * @param deps.findLostId finds the id of a key that Redis lost
 * @param deps.lockMs how long the key of a running request stays locked after its instance died, in ms
 */
export function createRespondOnce(deps: {
  redis: Redis
  prefix: string
  epoch: Pick<RedisEpoch, 'current'>
  findLostId: FindLostId
  lockMs?: number
}) {
  const { redis, prefix, epoch, findLostId, lockMs = defaultLockMs } = deps

  /**
   * Runs `work`, or returns the response of an earlier run.
   *
   * @param options.response parses a stored response
   * @param options.findBegun returns the upload that an earlier request has begun, if there is one
   * @param options.respondAgain creates the response for an upload that has arrived
   * @param work creates the response
   * @throws AppError `idempotency_key_reused` if the key belongs to a different request,
   *   `idempotency_key_in_use` while the first request is still running, `unreadable_record` if another version stored
   *   the response in another form, and whatever `work` throws
   */
  return async function respondOnce<Result>(
    { owner, key, content }: RepeatableRequest,
    {
      response,
      findBegun,
      respondAgain,
    }: {
      response: { Parse(value: unknown): Result }
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
    const run = (script: string, ...values: (string | number)[]) =>
      redis.eval(script, 2, redisKey, lockKey, keyLifeMs, holder, fingerprint, ...values)

    const nowMs = Date.now()
    const newId = keyedUploadId({ owner, key }, nowMs)
    const mayBeLost = (await epoch.current()) > nowMs - keyLifeMs
    const begun = await run(beginScript, lockMs, mayBeLost ? '' : newId)
    const [state, value, known] = Array.isArray(begun) ? begun.map(String) : []
    if (state === 'reused') throw new AppError('idempotency_key_reused')
    if (state === 'in use') throw keyInUse(Number(value))
    if (state === 'stored') return readResponse(response, value ?? '', redisKey)

    const lock = createRedisLease({ redis, key: lockKey, holder, ttlMs: lockMs })
    let id = known === 'unknown' ? undefined : value
    const isHeld = async () => {
      if (id === undefined) return lock.renew()
      return (await run(renewScript, id, lockMs)) === 1
    }
    const renewal = setInterval(() => {
      // If a renewal fails, the next one is still in time.
      isHeld().catch(() => undefined)
    }, lockMs / 3)
    try {
      const earlierId = await findEarlierId()
      const earlier = earlierId === undefined ? undefined : await findBegun({ owner, id: earlierId })
      if (earlier && known === 'other') throw new AppError('idempotency_key_reused')
      const keptId = earlierId ?? newId
      if (known === 'unknown' || known === 'other') {
        const isKept = (await run(keepScript, keptId)) === 1
        if (!isKept) throw keyInUse(await redis.pttl(lockKey))
      }
      id = keptId
      const result =
        earlier && earlier.state !== 'awaiting'
          ? respondAgain(earlier)
          : await work({ id, isRepeated: earlierId !== undefined, isHeld })
      await run(storeScript, id, await pack(JSON.stringify(result)))
      return result
    } catch (error) {
      // If Redis does not respond, the lock expires by itself.
      await lock.release().catch(() => undefined)
      throw error
    } finally {
      clearInterval(renewal)
    }

    async function findEarlierId(): Promise<string | undefined> {
      if (known === 'new') return undefined
      if (known !== 'unknown') return id
      return findLostId(owner, { tail: uploadIdTail(newId), sinceMs: nowMs - keyLifeMs })
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
   * Creates a response, or returns the stored one.
   *
   * @param options.content the content that must be the same if the request is sent again
   * @param options.response parses a stored response
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
      response: { Parse(value: unknown): Result }
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

/** Compresses a response. A hundred signed URLs differ little, so they shrink to an eighth. */
async function pack(text: string): Promise<string> {
  return (await deflate(text)).toString('base64')
}

async function readResponse<Result>(
  response: { Parse(value: unknown): Result },
  stored: string,
  redisKey: string,
): Promise<Result> {
  try {
    return response.Parse(JSON.parse(await unpack(stored)))
  } catch {
    // The request was already run, so it must not be run again.
    throw unreadableRecord(`The response stored at ${redisKey} has an unknown form.`)
  }
}

async function unpack(packed: string): Promise<string> {
  return (await inflate(Buffer.from(packed, 'base64'))).toString()
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
