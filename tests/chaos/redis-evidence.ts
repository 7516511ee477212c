import type { Redis } from 'ioredis'
import { redisPrefix } from './fleet.ts'

/** What Redis has at the end of a run. */
export type RedisEvidence = {
  /** Used memory after the start and at the end, in bytes. */
  baseBytes: number
  usedBytes: number
  /** Memory of all keys that expire by themselves, in bytes. */
  expiringBytes: number
  /** Number of keys by kind: the key without prefix, owners and ids. */
  counts: Record<string, number>
  /** Number of keys that never expire, by kind. */
  lasting: Record<string, number>
  /** Jobs by queue and state, for example `uploads waiting`. */
  jobs: Record<string, number>
}

const queues = ['uploads', 'imports']
/** Not `failed`: BullMQ keeps failed jobs for a week, and an upload that is not finished because of one is reported. */
const jobStates = {
  wait: 'LLEN',
  paused: 'LLEN',
  active: 'LLEN',
  delayed: 'ZCARD',
  prioritized: 'ZCARD',
} as const
const keysAtOnce = 500

/** Returns the memory that Redis uses, in bytes. */
export async function usedMemory(redis: Redis): Promise<number> {
  const [, bytes] = /used_memory:(\d+)/.exec(await redis.info('memory')) ?? []
  return Number(bytes)
}

/** @param baseBytes the memory that Redis used after the start */
export async function readRedis(redis: Redis, baseBytes: number): Promise<RedisEvidence> {
  const counts: Record<string, number> = {}
  const lasting: Record<string, number> = {}
  let expiringBytes = 0
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'COUNT', keysAtOnce)
    cursor = next
    const pipeline = redis.pipeline()
    for (const key of keys) pipeline.pttl(key).memory('USAGE', key)
    const results = (await pipeline.exec()) ?? []
    keys.forEach((key, index) => {
      const kind = kindOf(key)
      counts[kind] = (counts[kind] ?? 0) + 1
      const expires = Number(results[index * 2]?.[1]) >= 0
      if (expires) expiringBytes += Number(results[index * 2 + 1]?.[1])
      // -2: it expired meanwhile.
      else if (results[index * 2]?.[1] === -1) lasting[kind] = (lasting[kind] ?? 0) + 1
    })
  } while (cursor !== '0')
  return {
    ...{ baseBytes, usedBytes: await usedMemory(redis), expiringBytes, counts, lasting },
    jobs: await countJobs(redis),
  }
}

/** Counts BullMQ's jobs by queue and state. */
export async function countJobs(redis: Redis): Promise<Record<string, number>> {
  const jobs: Record<string, number> = {}
  for (const queue of queues) {
    for (const [state, command] of Object.entries(jobStates)) {
      const key = `${redisPrefix}:${queue}:${state}`
      jobs[`${queue} ${state}`] = command === 'LLEN' ? await redis.llen(key) : await redis.zcard(key)
    }
  }
  return jobs
}

function kindOf(key: string): string {
  return key
    .replace(`${redisPrefix}:`, '')
    .replace(/\{[^}]+\}/, '{owner}')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}(?:-[0-9a-f]{16})?/, '{id}')
    .replace(/[0-9a-f]{64}/, '{hash}')
}
