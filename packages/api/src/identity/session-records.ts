import type { AppError } from '@millrace/shared/service/app-error.ts'
import { createBatcher } from '@millrace/shared/service/batcher.ts'
import { isWrongType, unreadableRecord } from '@millrace/shared/service/stored-json.ts'
import type { Redis } from 'ioredis'
import type { Session } from './session-cookie.ts'

/**
 * Adds one view to each session of `KEYS`. Returns for each session its number of views, or views, label and
 * end mark if it has a label or was ended, or nil if the record is of another version. An error in one record must not
 * reach the other sessions of the batch.
 */
const viewScript = `
local results = {}
for number, key in ipairs(KEYS) do
  local views = redis.pcall('HINCRBY', key, 'views', 1)
  if type(views) == 'number' then
    local rest = redis.call('HMGET', key, 'user', 'ended')
    results[number] = (rest[1] or rest[2]) and { views, rest[1], rest[2] } or views
  elseif string.find(views.err, 'WRONGTYPE') or string.find(views.err, 'not an integer') then
    results[number] = false
  else
    return views
  end
end
return results
`
/** Length of the secret half of a session's id, which ends its key. */
const secretHalfLength = 32
type CountedView = { views: number; user: string | null; isEnded: boolean }

/** Maximum number of views in one script. It blocks Redis for some 0.1 ms. */
const maxBatchSize = 50

/**
 * Creates the store of sessions in Redis: `{prefix}:session:{id}`, a hash of `views`, `user` and, after the
 * session was ended, `ended`. The cookie proves that the session exists. If Redis loses everything, only the
 * view count and the label are lost; owners keep their uploads. The mark of an ended session is kept as long
 * as its cookie may be sent again.
 *
 * A record has the same lifetime as its cookie. So its expiry is set when the cookie is set, not on each
 * request. The views of one event-loop tick are counted by one script: two separate commands took a fifth of
 * the whole request.
 *
 * @param deps.redis a connection
 * @param deps.prefix the prefix of every key
 * @param deps.ttlMs lifetime of a session after its cookie was last sealed
 */
export function createSessionRecords(deps: { redis: Redis; prefix: string; ttlMs: number }) {
  const { redis, prefix } = deps
  const key = (session: Session) => `${prefix}:session:${session.id}`

  const countView = createBatcher<string, CountedView>(async (keys) => {
    const results = await redis.eval(viewScript, keys.length, ...keys)
    if (!Array.isArray(results)) throw new Error('The view script did not return an array.')
    return results.map((result, index) => readResult(result, keys[index] ?? ''))
  }, maxBatchSize)

  return {
    /**
     * Adds one view and returns the views and the label, or undefined if the session was ended.
     * @throws AppError `unreadable_record` if another version wrote the record in another form
     */
    async view(session: Session): Promise<{ views: number; user: string | null } | undefined> {
      const { views, user, isEnded } = await countView(key(session))
      // The record is new, or Redis lost it: either way it has no expiry.
      if (views === 1 || session.setsCookie) await redis.pexpire(key(session), deps.ttlMs)
      return isEnded ? undefined : { views, user }
    },

    /**
     * Whether the session was ended. A client may still have its cookie.
     * @throws AppError `unreadable_record` as above
     */
    async isEnded(session: Session): Promise<boolean> {
      const [ended] = await Promise.all([
        redis.hexists(key(session), 'ended').catch((error: unknown) => {
          throw isWrongType(error) ? unreadable(key(session)) : error
        }),
        session.setsCookie && redis.pexpire(key(session), deps.ttlMs),
      ])
      return ended === 1
    },

    /** Labels the session. */
    async label(session: Session, user: string): Promise<void> {
      await Promise.all([redis.hset(key(session), 'user', user), redis.pexpire(key(session), deps.ttlMs)])
    },

    /** Ends the session: copies of its cookie become invalid. */
    async end(session: Session): Promise<void> {
      await redis
        .multi()
        .del(key(session))
        .hset(key(session), 'ended', 1)
        .pexpire(key(session), deps.ttlMs)
        .exec()
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
