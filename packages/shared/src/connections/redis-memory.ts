import type { Redis } from 'ioredis'

/**
 * What Redis says about its memory. `usedShare` is 0 to 1, slightly more if Redis is over its limit, and 0 if it has no
 * limit. `evictionPolicy` is undefined if Redis does not tell it.
 */
export type RedisMemoryState = { usedShare: number; maxBytes: number; evictionPolicy: string | undefined }

/** How old an answer may be, in ms. Memory is filled by requests, and a second of them is a fraction of a percent. */
const defaultMaxAgeMs = 1_000

/**
 * Reads Redis' memory. Managed services allow `INFO`, unlike `CONFIG GET`.
 *
 * @throws whatever the command throws
 */
export async function readRedisMemory(redis: Redis): Promise<RedisMemoryState> {
  const fields = infoFields(await redis.info('memory'))
  const bytes = (name: string) => Number(fields.get(name)) || 0
  const maxBytes = bytes('maxmemory')
  // Redis does not count the buffers of replicas and of its append-only file when it compares with its limit.
  const countedBytes = bytes('used_memory') - bytes('mem_not_counted_for_evict')
  return {
    usedShare: maxBytes > 0 ? Math.max(0, countedBytes / maxBytes) : 0,
    maxBytes,
    evictionPolicy: fields.get('maxmemory_policy'),
  }
}

/** Reads Redis' `INFO`: a field and its value in each line. */
export function infoFields(text: string): Map<string, string> {
  return new Map(text.split(/\r?\n/).map((line) => splitAt(line, line.indexOf(':'))))
}

function splitAt(line: string, index: number): [string, string] {
  return [line.slice(0, index), line.slice(index + 1)]
}

/**
 * Tells how full Redis is. Redis is asked on demand, at most once in `maxAgeMs`, whatever the number of callers.
 *
 * @param deps.redis a connection
 * @param deps.maxAgeMs how old an answer may be, in ms; 0 asks each time
 */
export function createRedisMemory(deps: { redis: Redis; maxAgeMs?: number }) {
  const { redis, maxAgeMs = defaultMaxAgeMs } = deps
  let answer: { share: Promise<number>; untilMs: number } | undefined

  return {
    /**
     * Returns the used share of Redis' memory limit: 0 to 1, slightly more if Redis is over it. 0 if Redis has no limit,
     * or does not answer: then nothing is known of its memory, and the caller's own commands fail.
     */
    usedShare(): Promise<number> {
      if (!answer || performance.now() >= answer.untilMs) {
        const next = { share: readShare(), untilMs: Number.POSITIVE_INFINITY }
        // The age counts from the end, so that callers share one slow request.
        void next.share.then(() => {
          next.untilMs = performance.now() + maxAgeMs
        })
        answer = next
      }
      return answer.share
    },
  }

  async function readShare(): Promise<number> {
    try {
      return (await readRedisMemory(redis)).usedShare
    } catch {
      return 0
    }
  }
}

export type RedisMemory = ReturnType<typeof createRedisMemory>
