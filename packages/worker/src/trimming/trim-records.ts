import type { RedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import { memoryBudget, minFinishedLifeMs } from '@millrace/shared/uploads/memory-budget.ts'
import { recordKeysPattern } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'

/** The ages of the records that each pass over Redis deletes, in ms: old ones first. */
const passMinAgesMs = [60 * 60 * 1000, minFinishedLifeMs]

/** About how many keys Redis reads for one batch. Other commands run between the commands of a batch. */
const scanCount = 500

/**
 * Deletes a record that can be rebuilt from S3, as `isRebuildable` says. Deleting needs no memory, so a full Redis
 * allows it. KEYS: record. ARGV: the time before which the record was last changed (ISO 8601).
 */
const trimScript = `
local text = redis.call('HGET', KEYS[1], 'record')
if not text then return 0 end
local isJson, record = pcall(cjson.decode, text)
if not isJson or type(record) ~= 'table' then return 0 end
local state = record.state
if state ~= 'ready' and state ~= 'rejected' and state ~= 'failed' then return 0 end
if type(record.arrival) ~= 'table' then return 0 end
if type(record.updatedAt) ~= 'string' or record.updatedAt >= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
`

/**
 * Deletes records of finished uploads until Redis has memory again. They can be rebuilt from S3. Records of other
 * uploads and erasure markers stay.
 *
 * @param deps.memory answers without a delay: it is asked before each batch
 */
export function createTrimRecords(deps: { redis: Redis; prefix: string; memory: RedisMemory }) {
  const { redis, prefix, memory } = deps
  const pattern = recordKeysPattern(prefix)

  /**
   * @param onBatch called before each batch; may throw to end the run
   * @param nowMs ms since 1970
   * @returns the number of deleted records, and the used share of the memory afterwards
   */
  return async function trimRecords(
    onBatch: () => Promise<void>,
    nowMs: number = Date.now(),
  ): Promise<{ deleted: number; usedShare: number }> {
    const script = String(await redis.script('LOAD', trimScript))
    let deleted = 0
    let usedShare = await memory.usedShare()
    for (const minAgeMs of passMinAgesMs) {
      const before = new Date(nowMs - minAgeMs).toISOString()
      let cursor = '0'
      do {
        if (usedShare <= memoryBudget.trimTo) return { deleted, usedShare }
        await onBatch()
        const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', scanCount, 'TYPE', 'hash')
        cursor = next
        deleted += await trimBatch(script, keys, before)
        usedShare = await memory.usedShare()
      } while (cursor !== '0')
    }
    return { deleted, usedShare }
  }

  async function trimBatch(script: string, keys: string[], before: string): Promise<number> {
    const pipeline = redis.pipeline()
    for (const key of keys) pipeline.evalsha(script, 1, key, before)
    let deleted = 0
    for (const [error, result] of (await pipeline.exec()) ?? []) {
      if (error) throw error
      if (result === 1) deleted += 1
    }
    return deleted
  }
}

export type TrimRecords = ReturnType<typeof createTrimRecords>
