import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { defineKeepFor } from '../service/keep-for.ts'
import { createUploadKeys } from './upload-keys.ts'

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs

/** How long the ids that S3 has are kept at least, in ms. */
const listedLifeMs = 10 * dayMs
/**
 * What is known of an index ends this long before it expires, in ms. So it is never known of an index that has expired,
 * unless all of its uploads were announced and never came.
 */
const knownMarginMs = dayMs
/**
 * How long it is known of an index at least, in ms. An index that begins later lives for longer than this, since its records
 * do (`memory-budget.ts`).
 */
const minKnownMs = hourMs

/** How many of an owner's newest ids Redis keeps by default: some 1 MB. Older ones are listed from S3. */
export const defaultMaxIds = 10_000
/** An index is trimmed when it has this many times `maxIds`, so that it is not trimmed with every new id. */
const trimFactor = 1.25

/**
 * What is known of an owner's index: in an epoch of Redis it was complete from the id `from` on. `from` is empty if it
 * was complete from the first upload on.
 */
export type KnownIndex = { epoch: number; from: string }

/**
 * Adds the ids between two known positions, and moves what is known back to `from`. Fails if something else is known
 * meanwhile: the index was trimmed, or another process completes it.
 *
 * KEYS: index, listed. ARGV: epoch, the expected `from` ('none' to begin anew), the next `from`, least life of an index with
 * these ids in ms, then the ids.
 */
const extendScript = redisScript(`${defineKeepFor}
if ARGV[2] ~= 'none' and redis.call('GET', KEYS[2]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
for i = 5, #ARGV do redis.call('ZADD', KEYS[1], 0, ARGV[i]) end
if #ARGV >= 5 then keepFor(KEYS[1], ARGV[4]) end
local knownMs = math.max(redis.call('PTTL', KEYS[1]) - ${knownMarginMs}, ${minKnownMs})
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[3], 'PX', knownMs)
return 1
`)

/**
 * Lua: defines `trimIndex`, which removes the oldest ids of an index that has many more than `maxIds`, and records that
 * the index is no longer complete before the oldest one that is left.
 */
export const defineTrimIndex = `
local function trimIndex(index, listed, maxIds)
  local excess = redis.call('ZCARD', index) - maxIds
  if excess <= maxIds * ${trimFactor - 1} then return 0 end
  local oldest = redis.call('ZRANGE', index, excess, excess)[1]
  redis.call('ZREMRANGEBYRANK', index, 0, excess - 1)
  local epoch, from = string.match(redis.call('GET', listed) or '', '^(%d+) (.*)$')
  if epoch and from < oldest then redis.call('SET', listed, epoch .. ' ' .. oldest, 'KEEPTTL') end
  return excess
end
`

/** KEYS: index, listed. ARGV: how many ids to keep. */
const trimScript = redisScript(`${defineTrimIndex}
return trimIndex(KEYS[1], KEYS[2], tonumber(ARGV[1]))
`)

/**
 * Removes ids whose records have not changed since they were read. A record that was saved meanwhile has added its id
 * again. KEYS: index, then the record of each id. ARGV: for each id the id and its revision, '' for no record.
 */
const removeScript = redisScript(`
for i = 2, #KEYS do
  local revision = redis.call('HGET', KEYS[i], 'revision') or ''
  if revision == ARGV[2 * i - 2] then redis.call('ZREM', KEYS[1], ARGV[2 * i - 3]) end
end
`)

/**
 * Stores the ids of each owner's newest uploads in Redis, for lists. S3 has all of them except those whose bytes have
 * not arrived: these are not listed if an owner has announced more than `maxIds` later ones. Each save of a record adds
 * its id (`upload-records.ts`), so an index that was complete once stays complete, until Redis may have lost data: in a
 * later epoch it is completed again.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 * @param deps.maxIds how many of an owner's newest ids are kept
 */
export function createUploadIndex(deps: { redis: Redis; prefix: string; maxIds?: number }) {
  const { redis, prefix, maxIds = defaultMaxIds } = deps
  const keys = createUploadKeys(prefix)

  return {
    maxIds,

    /**
     * Returns one page of an owner's ids, newest first, and what is known of the index at that moment. Ids that are
     * older than `known.from` are incomplete.
     *
     * @param options.before excludes this id and all newer ones
     * @param options.limit number of ids
     */
    async page(
      owner: string,
      { before, limit }: { before: string | undefined; limit: number },
    ): Promise<{ ids: string[]; known: KnownIndex | undefined }> {
      const index = keys.index(owner)
      const results = await redis
        .multi()
        .get(keys.listed(owner))
        .zrange(index, before ? `(${before}` : '+', '-', 'BYLEX', 'REV', 'LIMIT', 0, limit)
        .zcard(index)
        .exec()
      const [listed, ids, size] = (results ?? []).map(([error, value]) => {
        if (error) throw error
        return value
      })
      if (Number(size) > maxIds * trimFactor) {
        await runScript(redis, trimScript, 2, index, keys.listed(owner), maxIds)
      }
      return { ids: Array.isArray(ids) ? ids.map(String) : [], known: parseKnown(listed) }
    },

    /**
     * Returns ids in ascending order.
     *
     * @param range.after excludes this id and all older ones
     * @param range.upTo excludes all ids that are newer than this one
     * @param range.limit number of ids
     */
    async oldest(
      owner: string,
      range: { after: string | undefined; upTo?: string | undefined; limit: number },
    ): Promise<string[]> {
      const { after, upTo, limit } = range
      const start = after === undefined ? '-' : `(${after}`
      const end = upTo === undefined ? '+' : `[${upTo}`
      return redis.zrange(keys.index(owner), start, end, 'BYLEX', 'LIMIT', 0, limit)
    },

    /**
     * Returns the ids of a range, newest first.
     *
     * @param options.before excludes this id and all newer ones
     * @param options.from excludes all ids that are older than this one
     */
    async between(owner: string, { before, from }: { before: string; from: string }): Promise<string[]> {
      return redis.zrange(keys.index(owner), `(${before}`, from ? `[${from}` : '-', 'BYLEX', 'REV')
    },

    /** Returns how many ids an owner's index has that are not older than this one. */
    async countFrom(owner: string, from: string): Promise<number> {
      return redis.zlexcount(keys.index(owner), from ? `[${from}` : '-', '+')
    },

    /** Returns what is known of an owner's index. */
    async known(owner: string): Promise<KnownIndex | undefined> {
      return parseKnown(await redis.get(keys.listed(owner)))
    },

    /**
     * Adds all ids from `next.from` on to where the index is known to be complete.
     *
     * @param ids all ids that S3 has of this range
     * @param next what is known afterwards
     * @param previous the known `from`; undefined: the range has no end
     * @returns false if something else is known of the index meanwhile; nothing was added then
     */
    async extend(
      owner: string,
      ids: string[],
      next: KnownIndex,
      previous: string | undefined,
    ): Promise<boolean> {
      const added = await runScript(
        redis,
        extendScript,
        2,
        ...[keys.index(owner), keys.listed(owner)],
        ...[next.epoch, previous ?? 'none', next.from, listedLifeMs],
        ...ids,
      )
      return added === 1
    },

    /**
     * Removes ids that are not listed any more.
     * @param entries the ids, with the revision of the record that was read; undefined if there was none
     */
    async remove(owner: string, entries: { id: string; revision: number | undefined }[]): Promise<void> {
      if (entries.length === 0) return
      const recordKeys = entries.map(({ id }) => keys.record({ owner, id }))
      await runScript(
        redis,
        removeScript,
        entries.length + 1,
        ...[keys.index(owner), ...recordKeys],
        ...entries.flatMap(({ id, revision }) => [id, revision ?? '']),
      )
    },
  }
}

export type UploadIndex = ReturnType<typeof createUploadIndex>

/** Parses the key `listed`. Older versions of Millrace wrote `1` for a day. */
function parseKnown(listed: unknown): KnownIndex | undefined {
  const [, epoch, from] = /^(\d+) (.*)$/.exec(typeof listed === 'string' ? listed : '') ?? []
  return epoch === undefined || from === undefined ? undefined : { epoch: Number(epoch), from }
}
