import { createHash, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { AppError } from '@millrace/shared/service/app-error.ts'
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
        'identifies this request for a day: a repeated request gets the same response and creates nothing',
    }),
  ),
})

const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

/** How long an answer is kept, in ms. */
const answerLifeMs = 24 * 60 * 60 * 1000
/** How long a key stays taken by an instance that died in the middle, in ms. */
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
local answer = redis.call('HGET', KEYS[1], 'answer')
if answer then return {'answered', answer} end
return {'in use'}
`

/** KEYS: key. ARGV: holder, life of the lock in ms. */
const renewScript = `
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
`

/** KEYS: key. ARGV: holder, fingerprint, answer, life of the answer in ms. Also where Redis lost the lock. */
const keepScript = `
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'answer', ARGV[3])
redis.call('HDEL', KEYS[1], 'holder')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`

/** KEYS: key. ARGV: holder. */
const releaseScript = `
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end
`

/** A request that can be told from others of the same owner. */
export type RepeatableRequest = {
  owner: string
  /** The header's value. */
  key: string
  /** What makes it this very request: JSON values whose order of fields does not matter. */
  content: unknown
}

/**
 * Does what a request asks for once, however often and to however many instances it is sent. Answers are kept
 * in Redis for a day under their owner:
 *
 *   {prefix}:{owner}:idempotency:{SHA-256 of the key}   hash: fingerprint, and holder (under way) or answer
 *
 * Only what succeeded is kept: what failed made nothing, so it may be tried again under the same key
 * (docs/decisions/0005-release-the-idempotency-key-after-a-failure.md).
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.lockMs how long the key of a request under way outlives its instance, in ms
 */
export function createRespondOnce(deps: { redis: Redis; prefix: string; lockMs?: number }) {
  const { redis, prefix, lockMs = defaultLockMs } = deps

  /**
   * @param answer reads a kept answer back
   * @param work makes the answer
   * @throws AppError `idempotency_key_reused` where the key was another request's, `idempotency_key_in_use`
   *   while the first is still under way, and whatever `work` throws
   */
  return async function respondOnce<Answer>(
    { owner, key, content }: RepeatableRequest,
    answer: { Parse(value: unknown): Answer },
    work: () => Promise<Answer>,
  ): Promise<Answer> {
    const redisKey = `${prefix}:{${owner}}:idempotency:${sha256(key)}`
    const fingerprint = sha256(JSON.stringify(inOrder(content)))
    const holder = randomUUID()
    const [state, kept] = await begin(redisKey, fingerprint, holder)
    if (state === 'reused') throw new AppError('idempotency_key_reused')
    if (state === 'in use') throw new AppError('idempotency_key_in_use')
    if (state === 'answered') return answer.Parse(JSON.parse(await unpack(kept)))
    const renewal = setInterval(() => {
      // A renewal that fails is made up for by the next one.
      redis.eval(renewScript, 1, redisKey, holder, lockMs).catch(() => undefined)
    }, lockMs / 3)
    try {
      const made = await work()
      await redis.eval(
        keepScript,
        1,
        redisKey,
        holder,
        fingerprint,
        await pack(JSON.stringify(made)),
        answerLifeMs,
      )
      return made
    } catch (error) {
      // Where Redis does not answer, the lock runs out by itself.
      await redis.eval(releaseScript, 1, redisKey, holder).catch(() => undefined)
      throw error
    } finally {
      clearInterval(renewal)
    }
  }

  async function begin(redisKey: string, fingerprint: string, holder: string): Promise<[string, string]> {
    const answered = await redis.eval(beginScript, 1, redisKey, fingerprint, holder, lockMs)
    const [state, kept] = Array.isArray(answered) ? answered : []
    return [String(state), String(kept)]
  }
}

export type RespondOnce = ReturnType<typeof createRespondOnce>

/** Honours a request's `Idempotency-Key`, if it has one, for whom it comes from. */
export function createWithIdempotencyKey({
  owner,
  respondOnce,
}: {
  owner: RequestOwner
  respondOnce: RespondOnce
}) {
  /**
   * @param what.content what makes the request this very one, besides its owner
   * @param what.answer reads a kept answer back
   * @param make makes the answer for an owner. Who has no session yet gets one, and has no earlier answer
   * @throws AppError as `respondOnce` does, and whatever `make` throws
   */
  return async function withIdempotencyKey<Answer>(
    request: FastifyRequest,
    {
      key,
      ...what
    }: { key: string | undefined; content: unknown; answer: { Parse(value: unknown): Answer } },
    make: (owner: string) => Promise<Answer>,
  ): Promise<Answer> {
    const known = key === undefined ? undefined : await owner.find(request)
    if (key === undefined || known === undefined) return make(await owner.findOrCreate(request))
    return respondOnce({ owner: known, key, content: what.content }, what.answer, () => make(known))
  }
}

export type WithIdempotencyKey = ReturnType<typeof createWithIdempotencyKey>

/** A hundred signed URLs differ in little: they pack to an eighth. */
async function pack(text: string): Promise<string> {
  return (await deflate(text)).toString('base64')
}

async function unpack(packed: string): Promise<string> {
  return (await inflate(Buffer.from(packed, 'base64'))).toString()
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The same JSON value with the fields of its objects in alphabetical order. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => [name, inOrder(field)]),
  )
}
