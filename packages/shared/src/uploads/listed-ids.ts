import type { Redis } from 'ioredis'
import { createUploadKeys } from './upload-keys.ts'

/** Keys that one step of SCAN looks at. */
const keysPerStep = 1000

/**
 * Reads the indexes of all owners, for a comparison with S3.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 */
export function createListedIds({ redis, prefix }: { redis: Redis; prefix: string }) {
  const { index } = createUploadKeys(prefix)

  return {
    /**
     * Returns ids of an owner's index, oldest first.
     *
     * @param range.after excludes this id and all older ones
     * @param range.upTo excludes all newer ids
     */
    async between(
      owner: string,
      range: { after?: string | undefined; upTo?: string | undefined; limit: number },
    ): Promise<string[]> {
      const { after, upTo, limit } = range
      const start = after === undefined ? '-' : `(${after}`
      const end = upTo === undefined ? '+' : `[${upTo}`
      return redis.zrange(index(owner), start, end, 'BYLEX', 'LIMIT', 0, limit)
    },

    /**
     * Finds the owners that have an index, in no order, some of them twice.
     *
     * @param onStep called before each step of SCAN; may throw to end the search
     */
    async *owners(onStep: () => Promise<void>): AsyncGenerator<string> {
      const [start = '', end = ''] = index('*').split('*')
      let cursor = '0'
      do {
        await onStep()
        const [next, keys] = await redis.scan(cursor, 'MATCH', `${start}*${end}`, 'COUNT', keysPerStep)
        for (const key of keys) yield key.slice(start.length, -end.length)
        cursor = next
      } while (cursor !== '0')
    },
  }
}

export type ListedIds = ReturnType<typeof createListedIds>
