import { createBatcher } from '@millrace/shared/service/batcher.ts'
import type { Redis } from 'ioredis'
import type { Session } from './session-cookie.ts'

/** Counts a view of each session of `KEYS`. Answers, for each, its views; with its label and whether it was ended. */
const viewScript = `
local seen = {}
for number, key in ipairs(KEYS) do
  local views = redis.call('HINCRBY', key, 'views', 1)
  local rest = redis.call('HMGET', key, 'user', 'ended')
  seen[number] = (rest[1] or rest[2]) and { views, rest[1], rest[2] } or views
end
return seen
`
/** Redis serves nobody else meanwhile: some 0.1 ms. */
const viewsAtOnce = 50

/**
 * What Redis keeps of sessions: `{prefix}:session:{id}`, a hash of `views`, `user` and, once it was ended,
 * `ended`. The cookie says that the session exists; so a Redis that lost everything costs the count of views
 * and the label, and nobody their uploads. An ended session keeps its mark for as long as its cookie could
 * come back.
 *
 * It lives as long as the cookie does, and so its life begins anew when the cookie is sealed anew, not with each
 * request. Views that are asked for in one turn of the event loop are one script: two commands of their own took a
 * fifth of the whole request.
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.ttlMs how long a session lives after its cookie was sealed
 */
export function createSessionRecords(deps: { redis: Redis; prefix: string; ttlMs: number }) {
  const { redis, prefix } = deps
  const key = (session: Session) => `${prefix}:session:${session.id}`

  const countView = createBatcher(async (keys: readonly string[]) => {
    const seen = await redis.eval(viewScript, keys.length, ...keys)
    if (!Array.isArray(seen)) throw new Error('Redis answered a script otherwise than it says.')
    return seen.map(readSeen)
  }, viewsAtOnce)

  return {
    /** Adds one to the session's views. @returns undefined where the session was ended */
    async view(session: Session): Promise<{ views: number; user: string | null } | undefined> {
      const { views, user, isEnded } = await countView(key(session))
      // The first one, or the first since Redis lost it, and with it the time that it was to live.
      if (views === 1 || session.isSealedAnew) await redis.pexpire(key(session), deps.ttlMs)
      return isEnded ? undefined : { views, user }
    },

    /** Whether the session was ended, though its cookie may still be about. */
    async isEnded(session: Session): Promise<boolean> {
      const [ended] = await Promise.all([
        redis.hexists(key(session), 'ended'),
        session.isSealedAnew && redis.pexpire(key(session), deps.ttlMs),
      ])
      return ended === 1
    },

    /** Labels the session. */
    async label(session: Session, user: string): Promise<void> {
      await Promise.all([redis.hset(key(session), 'user', user), redis.pexpire(key(session), deps.ttlMs)])
    },

    /** Ends the session: a copy of its cookie opens nothing from now on. */
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

function readSeen(answer: unknown): { views: number; user: string | null; isEnded: boolean } {
  if (!Array.isArray(answer)) return { views: Number(answer), user: null, isEnded: false }
  const [views, user, ended] = answer
  return { views: Number(views), user: typeof user === 'string' ? user : null, isEnded: ended !== null }
}
