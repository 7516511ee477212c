import { createHash, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createHeldKey } from '@millrace/shared/service/redis-lease.ts'
import { unreadableRecord } from '@millrace/shared/service/stored-json.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import Type from 'typebox'
import type { RequestOwner } from '../identity/request-owner.ts'

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

/** How long a response is stored, in ms. */
const responseLifeMs = 24 * 60 * 60 * 1000
/** How long a key stays locked after its instance died, in ms. */
const defaultLockMs = 60_000

/** KEYS: key. ARGV: fingerprint, holder, life of the lock in ms. */
const beginScript = `
local fingerprint = redis.call('HGET', KEYS[1], 'fingerprint')
if not fingerprint then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'holder', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'begun'}
end
if fingerprint ~= ARGV[1] then return {'reused'} end
local response = redis.call('HGET', KEYS[1], 'answer')
if response then return {'stored', response} end
return {'in use'}
`

/**
 * KEYS: key. ARGV: holder, fingerprint, response, its life in ms. Stores the response even if Redis lost the
 * lock.
 */
const storeScript = `
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'answer', ARGV[3])
redis.call('HDEL', KEYS[1], 'holder')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
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

/**
 * Runs a request once, even if it is sent several times, or to several instances. Responses are stored in
 * Redis for a day, by owner:
 *
 *   {prefix}:{owner}:idempotency:{SHA-256 of the key}   hash: fingerprint, and holder (running) or answer
 *
 * Only successful responses are stored. A failed request created nothing, so it can be sent again with the
 * same key (docs/decisions/0005-release-the-idempotency-key-after-a-failure.md).
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.lockMs how long the key of a running request stays locked after its instance died, in ms
 */
export function createRespondOnce(deps: { redis: Redis; prefix: string; lockMs?: number }) {
  const { redis, prefix, lockMs = defaultLockMs } = deps

  /**
   * Runs `work`, or returns the response of an earlier run.
   *
   * @param response parses a stored response
   * @param work creates the response
   * @throws AppError `idempotency_key_reused` if the key belongs to a different request,
   *   `idempotency_key_in_use` while the first request is still running, `unreadable_record` if another version stored
   *   the response in another form, and whatever `work` throws
   */
  return async function respondOnce<Result>(
    { owner, key, content }: RepeatableRequest,
    response: { Parse(value: unknown): Result },
    work: () => Promise<Result>,
  ): Promise<Result> {
    const redisKey = `${prefix}:{${owner}}:idempotency:${sha256(key)}`
    const fingerprint = sha256(JSON.stringify(sortFields(content)))
    const holder = randomUUID()
    const [state, stored] = await begin(redisKey, fingerprint, holder)
    if (state === 'reused') throw new AppError('idempotency_key_reused')
    if (state === 'in use') throw new AppError('idempotency_key_in_use')
    if (state === 'stored') return readResponse(response, stored, redisKey)
    const lock = createHeldKey({ redis, key: redisKey, field: 'holder', holder, ttlMs: lockMs })
    const renewal = setInterval(() => {
      // If a renewal fails, the next one is still in time.
      lock.renew().catch(() => undefined)
    }, lockMs / 3)
    try {
      const result = await work()
      await redis.eval(
        storeScript,
        1,
        redisKey,
        holder,
        fingerprint,
        await pack(JSON.stringify(result)),
        responseLifeMs,
      )
      return result
    } catch (error) {
      // If Redis does not respond, the lock expires by itself.
      await lock.release().catch(() => undefined)
      throw error
    } finally {
      clearInterval(renewal)
    }
  }

  async function begin(redisKey: string, fingerprint: string, holder: string): Promise<[string, string]> {
    const result = await redis.eval(beginScript, 1, redisKey, fingerprint, holder, lockMs)
    const [state, stored] = Array.isArray(result) ? result : []
    return [String(state), String(stored)]
  }
}

export type RespondOnce = ReturnType<typeof createRespondOnce>

/** Applies the `Idempotency-Key` header of requests that have one. */
export function createWithIdempotencyKey({
  owner,
  respondOnce,
}: {
  owner: RequestOwner
  respondOnce: RespondOnce
}) {
  /**
   * Creates a response, or returns the stored one.
   *
   * @param options.content the content that must be the same if the request is sent again
   * @param options.response parses a stored response
   * @param respond creates the response for an owner. A client without a session gets one; it has no stored
   *   responses
   * @throws AppError as `respondOnce` does, and whatever `respond` throws
   */
  return async function withIdempotencyKey<Result>(
    request: FastifyRequest,
    {
      key,
      content,
      response,
    }: { key: string | undefined; content: unknown; response: { Parse(value: unknown): Result } },
    respond: (ownerId: string) => Promise<Result>,
  ): Promise<Result> {
    const ownerId = key === undefined ? undefined : await owner.find(request)
    if (key === undefined || ownerId === undefined) return respond(await owner.findOrCreate(request))
    return respondOnce({ owner: ownerId, key, content }, response, () => respond(ownerId))
  }
}

export type WithIdempotencyKey = ReturnType<typeof createWithIdempotencyKey>

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
