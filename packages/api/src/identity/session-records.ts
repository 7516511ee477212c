import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import { isWrongType, unreadableRecord } from '@millrace/shared/connections/stored-json.ts'
import type { AppError } from '@millrace/shared/service/app-error.ts'
import { createBatcher } from '@millrace/shared/service/batcher.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { clientAddress } from '../http/client-address.ts'
import type { NewSessions } from './new-sessions.ts'
import type { Session } from './session-cookie.ts'

/** How long a record lives that its address has no room for, in ms. It then only serves a visit. */
const shortTtlMs = 10 * 60 * 1000

/**
 * Adds one view to each session of `KEYS`. Returns for each session its number of views, or views, label and
 * end mark if it has a label or was ended, or nil if the record is of another version. An error in one record must not
 * reach the other sessions of the batch. A new record has an expiry from the beginning.
 */
const viewScript = redisScript(`
local results = {}
for number, key in ipairs(KEYS) do
  local views = redis.pcall('HINCRBY', key, 'views', 1)
  if type(views) == 'number' then
    if views == 1 and redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, ${shortTtlMs}) end
    local rest = redis.call('HMGET', key, 'user', 'ended')
    results[number] = (rest[1] or rest[2]) and { views, rest[1], rest[2] } or views
  elseif string.find(views.err, 'WRONGTYPE') or string.find(views.err, 'not an integer') then
    results[number] = false
  else
    return views
  end
end
return results
`)

/**
 * Whether the record of a session is there to stay: it has a label, an end or a key that signed it in, or its address had
 * room for it. A record of an unknown form belongs to another version. KEYS: record. ARGV:
 * `shortTtlMs`.
 */
const isKeptScript = redisScript(`
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then return 1 end
local marks = redis.pcall('HMGET', KEYS[1], 'user', 'ended', 'key')
return (marks.err or marks[1] or marks[2] or marks[3]) and 1 or 0
`)

/** Length of the secret half of a session's id, which ends its key. */
const secretHalfLength = 32
/** Who sent a request. */
type Client = Pick<FastifyRequest, 'ip'>
type CountedView = { views: number; user: string | null; isEnded: boolean }

/** Maximum number of views in one script. It blocks Redis for some 0.1 ms. */
const maxBatchSize = 50

/**
 * Creates the store of sessions in Redis: `{prefix}:session:{id}`, a hash of `views`, `user`, `key` (the id
 * of the API key that signed the session in) and, after the session was ended, `ended`. The cookie proves that the session exists. If Redis loses everything, only the
 * view count and the label are lost; owners keep their uploads. The mark of an ended session is kept as long
 * as its cookie may be sent again.
 *
 * A session that is not used again has no record: the cookie contains its first view. What begins to be kept is counted by
 * address (new-sessions.ts). Above the limit, records of views live for some minutes only; labels and ends are refused,
 * because they must not be lost.
 *
 * A record has the same lifetime as its cookie. So its expiry is set when the cookie is set, not on each
 * request. The views of one event-loop tick are counted by one script: two separate commands took a fifth of
 * the whole request.
 *
 * @param deps.redis a connection
 * @param deps.prefix the prefix of every key
 * @param deps.ttlMs lifetime of a session after its cookie was last sealed
 */
export function createSessionRecords(deps: {
  redis: Redis
  prefix: string
  ttlMs: number
  newSessions: NewSessions
}) {
  const { redis, prefix, ttlMs, newSessions } = deps
  const key = (session: Session) => `${prefix}:session:${session.id}`

  const countView = createBatcher<string, CountedView>(async (keys) => {
    const results = await runScript(redis, viewScript, keys.length, ...keys)
    if (!Array.isArray(results)) throw new Error('The view script did not return an array.')
    return results.map((result, index) => readResult(result, keys[index] ?? ''))
  }, maxBatchSize)

  async function isKept(session: Session): Promise<boolean> {
    return (await runScript(redis, isKeptScript, 1, key(session), shortTtlMs)) === 1
  }

  /** Counts the session unless its record is kept already. @throws AppError `too_many_sessions` */
  async function admitMark(session: Session, client: Client): Promise<void> {
    if (!(await isKept(session))) await newSessions.count('marks', session.owner, clientAddress(client))
  }

  return {
    /**
     * Adds one view and returns the views and the label, or undefined if the session was ended.
     * @throws AppError `unreadable_record` if another version wrote the record in another form
     */
    async view(
      session: Session,
      client: Client,
    ): Promise<{ views: number; user: string | null } | undefined> {
      const { views, user, isEnded } = await countView(key(session))
      // The record is new, or Redis lost it.
      if (views === 1 || session.setsCookie) {
        const stays =
          (await isKept(session)) ||
          (await newSessions.hasRoom('views', session.owner, clientAddress(client)))
        if (stays) await redis.pexpire(key(session), ttlMs)
      }
      return isEnded ? undefined : { views: views + session.uncountedViews, user }
    },

    /**
     * Whether the session was ended. A client may still have its cookie.
     * @throws AppError `unreadable_record` as above
     */
    async isEnded(session: Session): Promise<boolean> {
      const ended = await redis.hexists(key(session), 'ended').catch((error: unknown) => {
        throw isWrongType(error) ? unreadable(key(session)) : error
      })
      if (session.setsCookie && (await isKept(session))) await redis.pexpire(key(session), ttlMs)
      return ended === 1
    },

    /**
     * Labels the session.
     * @throws AppError `too_many_sessions` if the address has no room for another record
     */
    async label(session: Session, user: string, client: Client): Promise<void> {
      await admitMark(session, client)
      await Promise.all([redis.hset(key(session), 'user', user), redis.pexpire(key(session), ttlMs)])
    },

    /**
     * Records which API key signed the session in. Who has a key may have a record: it does not count to its address.
     * @param keyId the id of the key, not the key
     */
    async signIn(session: Session, keyId: string): Promise<void> {
      await redis.multi().hset(key(session), 'key', keyId).pexpire(key(session), ttlMs).exec()
    },

    /**
     * Returns the id of the API key that signed the session in; undefined if none did, if the session was ended, or if
     * Redis lost it.
     * @throws AppError `unreadable_record` as above
     */
    async signedInKey(session: Session): Promise<string | undefined> {
      const keyId = await redis.hget(key(session), 'key').catch((error: unknown) => {
        throw isWrongType(error) ? unreadable(key(session)) : error
      })
      return keyId ?? undefined
    },

    /**
     * Ends the session: copies of its cookie become invalid.
     * @throws AppError `too_many_sessions` as above
     */
    async end(session: Session, client: Client): Promise<void> {
      await admitMark(session, client)
      await redis.multi().del(key(session)).hset(key(session), 'ended', 1).pexpire(key(session), ttlMs).exec()
    },
  }
}

export type SessionRecords = ReturnType<typeof createSessionRecords>

function readResult(result: unknown, key: string): CountedView | AppError {
  if (result === null) return unreadable(key)
  if (!Array.isArray(result)) return { views: Number(result), user: null, isEnded: false }
  const [views, user, ended] = result
  return { views: Number(views), user: typeof user === 'string' ? user : null, isEnded: ended !== null }
}

/** The key contains the session's secret half, which must not be logged. */
function unreadable(key: string): AppError {
  return unreadableRecord(
    `The record of the session ${key.slice(0, -secretHalfLength)}… has an unknown form.`,
  )
}
