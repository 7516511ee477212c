import type { Redis } from 'ioredis'

const hourMs = 60 * 60 * 1000
/** How long it is known when a key was last used, in seconds: 90 days. */
const keptSeconds = 90 * 24 * 60 * 60

/**
 * Records the hour in which each API key was last used. Only Redis has it: it is a help to find keys that nobody needs, and
 * not worth a write to S3.
 *
 *   {prefix}:key-used:{id}   the hour, ISO 8601; expires after 90 days
 *
 * @param deps.now ms since 1970
 */
export function createKeyUses(deps: { redis: Redis; prefix: string; now?: () => number }) {
  const { redis, prefix, now = Date.now } = deps
  const redisKey = (id: string) => `${prefix}:key-used:${id}`
  let hour = 0
  /** The keys whose use in this hour is recorded: each instance writes once an hour for each. */
  let noted = new Set<string>()

  return {
    /** Records that a key is used now. If Redis does not answer, the next use is recorded. */
    note(id: string): void {
      const current = Math.floor(now() / hourMs)
      if (current !== hour) {
        hour = current
        noted = new Set()
      }
      if (noted.has(id)) return
      noted.add(id)
      const notedNow = noted
      redis
        .set(redisKey(id), new Date(hour * hourMs).toISOString(), 'EX', keptSeconds)
        .catch(() => notedNow.delete(id))
    },

    /**
     * Returns the hour of the last use of each key, null for a key that was not used in 90 days; undefined if Redis does
     * not answer: then it is not known.
     */
    async find(ids: readonly string[]): Promise<Map<string, string | null> | undefined> {
      if (ids.length === 0) return new Map()
      try {
        const hours = await redis.mget(ids.map(redisKey))
        return new Map(ids.map((id, index) => [id, hours[index] ?? null]))
      } catch {
        return undefined
      }
    },
  }
}

export type KeyUses = ReturnType<typeof createKeyUses>
