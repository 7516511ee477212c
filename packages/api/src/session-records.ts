import type { Redis } from 'ioredis'
import type { Session } from './session-cookie.ts'

/**
 * What Redis keeps of sessions: `{prefix}:session:{id}`, a hash of `views`, `user` and, once it was ended,
 * `ended`. The cookie says that the session exists; so a Redis that lost everything costs the count of views
 * and the label, and nobody their uploads. An ended session keeps its mark for as long as its cookie could
 * come back.
 *
 * It lives as long as the cookie does, and so its life begins anew when the cookie is sealed anew, not with each
 * request. Plain commands in one pipeline: measured faster than a script.
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 * @param deps.ttlMs how long a session lives after its cookie was sealed
 */
export function createSessionRecords(deps: { redis: Redis; prefix: string; ttlMs: number }) {
  const { redis, prefix } = deps
  const key = (session: Session) => `${prefix}:session:${session.id}`

  return {
    /** Adds one to the session's views. @returns undefined where the session was ended */
    async view(session: Session): Promise<{ views: number; user: string | null } | undefined> {
      const [views, [user, ended]] = await Promise.all([
        redis.hincrby(key(session), 'views', 1),
        redis.hmget(key(session), 'user', 'ended'),
        session.isSealedAnew && redis.pexpire(key(session), deps.ttlMs),
      ])
      // Redis had lost it, and with it the time that it was to live.
      if (views === 1 && !session.isSealedAnew) await redis.pexpire(key(session), deps.ttlMs)
      return ended ? undefined : { views, user: user ?? null }
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
