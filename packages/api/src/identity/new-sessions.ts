import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import { clientNetworks } from '@millrace/shared/network/client-networks.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Redis } from 'ioredis'

const windowMs = 60 * 60 * 1000

/**
 * Adds a session to a set for each network of its address, unless one of them is full. Returns nil, or the number of the
 * full set and the ms until its window ends. A session counts once in a window.
 *
 * KEYS: the sets. ARGV: session, window in ms, the limit of each set.
 */
const takeScript = redisScript(`
for number, key in ipairs(KEYS) do
  local isNew = redis.call('SISMEMBER', key, ARGV[1]) == 0
  if isNew and redis.call('SCARD', key) >= tonumber(ARGV[2 + number]) then
    return { number, redis.call('PTTL', key) }
  end
end
for _, key in ipairs(KEYS) do
  redis.call('SADD', key, ARGV[1])
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[2]) end
end
return false
`)

/**
 * What begins to be kept of a session: its first upload, which makes it an owner; its label or its end; its views. Each is
 * counted apart, so that visitors do not use up what uploads need.
 */
export type NewSessionKind = 'owners' | 'marks' | 'views'

const described = {
  owners: 'new sessions with uploads',
  marks: 'new sessions with a label or an end',
  views: 'new sessions with views',
} satisfies Record<NewSessionKind, string>

/**
 * Counts by address, over all instances, the sessions of which something begins to be kept. A cookie costs nothing, so
 * anyone can have any number of sessions; this limits how many of them Redis holds.
 *
 *   {prefix}:new-sessions:{kind}:{network}   set of public halves and request ids, expires an hour after its first one
 *
 * @param deps.limitPerHour sessions of one address, of each kind; a /48 of IPv6 may have more (clientNetworks). 0: no limit
 */
export function createNewSessions(deps: { redis: Redis; prefix: string; limitPerHour: number }) {
  const { redis, prefix, limitPerHour } = deps

  async function findFull(kind: NewSessionKind, session: string, address: string) {
    if (limitPerHour === 0) return undefined
    const networks = clientNetworks(address)
    const limits = networks.map(({ share }) => limitPerHour * share)
    const keys = networks.map(({ name }) => `${prefix}:new-sessions:${kind}:${name}`)
    const full = await runScript(redis, takeScript, keys.length, ...keys, session, windowMs, ...limits)
    if (!Array.isArray(full)) return undefined
    const [number, ttlMs] = full.map(Number)
    return { limit: limits[(number ?? 1) - 1] ?? limitPerHour, ttlMs: ttlMs ?? windowMs }
  }

  return {
    /** Counts a session if its address has room. @returns whether it has */
    async hasRoom(kind: NewSessionKind, session: string, address: string): Promise<boolean> {
      return (await findFull(kind, session, address)) === undefined
    },

    /**
     * Counts a session.
     *
     * @param session its public half; a request's id for a session that does not exist yet
     * @throws AppError `too_many_sessions` if the address has no room
     */
    async count(kind: NewSessionKind, session: string, address: string): Promise<void> {
      const full = await findFull(kind, session, address)
      if (!full) return
      const { limit, ttlMs } = full
      const retryAfterSeconds = Math.max(1, Math.ceil(ttlMs / 1000))
      throw new AppError('too_many_sessions', {
        message: `The limit is ${limit} ${described[kind]} per hour for one address. Retry after ${retryAfterSeconds} s.`,
        limit,
        remaining: 0,
        retryAfterSeconds,
      })
    },
  }
}

export type NewSessions = ReturnType<typeof createNewSessions>
