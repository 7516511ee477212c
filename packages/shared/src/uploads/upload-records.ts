import type { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import { AppError } from '../service/app-error.ts'
import { createBatcher } from '../service/batcher.ts'
import { isFinished, Upload } from './upload.ts'
import type { UploadAddress } from './upload-address.ts'

const upload = Compile(Upload)

/** A record with the count of its changes, which names this very content of it. */
export type StoredUpload = { upload: Upload; revision: number }

const dayMs = 24 * 60 * 60 * 1000

/** How long Redis keeps what the manifest can give back. */
const finishedTtlMs = 7 * dayMs
/** Longer than any upload may stay open: awaiting ones have an expiry of their own, at most this. */
const openTtlMs = 14 * dayMs
/** The index outlives the records; an index that was not used for this long is rebuilt from S3. */
const indexTtlMs = 30 * dayMs

/** How often a change is tried again when another process changed the same record in between. */
const attempts = 16

/** How many records are asked for in one pipeline. */
const recordsAtOnce = 100

/** How long an erased upload is remembered: longer than anything that was signed for it is good for. */
const erasedTtlMs = 8 * dayMs
/** How long it is remembered that nothing is left of one that other regions were told of: longer than they are told. */
const confirmedTtlMs = 31 * dayMs
/** What stands in the memory of an erasure then. */
const confirmed = 'confirmed'
/** How many of an owner's last changes a client that reconnects can catch up on. */
const recentChanges = 1000

/**
 * Numbers a change among all of its owner's. Numbers are milliseconds since 1970 at least, so they go on
 * rising when Redis has lost the last one; `since` is where it began to remember.
 */
const nextSequence = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = tonumber(redis.call('HGET', KEYS[4], 'last') or '0')
local sequence = math.max(last + 1, now)
if last == 0 then redis.call('HSET', KEYS[4], 'since', string.format('%.0f', sequence - 1)) end
local text = string.format('%.0f', sequence)
redis.call('HSET', KEYS[4], 'last', text)
redis.call('ZADD', KEYS[5], text, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -${recentChanges} - 1)
redis.call('PEXPIRE', KEYS[4], ARGV[2])
redis.call('PEXPIRE', KEYS[5], ARGV[2])
`

/**
 * Sets a record only where its revision is still the one that the change was made from and the upload was
 * not erased, puts it into its owner's index and tells the owner's subscribers, all at once: subscribers see
 * every change exactly in the order in which they were made.
 *
 * KEYS: record, index, erased, sequence, recent. ARGV: id, index time to live in ms, channel, record,
 * expected revision ('' for none), time to live in ms.
 */
const saveScript = `
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
if revision ~= ARGV[5] then return 0 end
${nextSequence}
local nextRevision = (tonumber(revision) or 0) + 1
redis.call('HSET', KEYS[1], 'revision', nextRevision, 'record', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[3],
  '{"sequence":' .. text .. ',"revision":' .. nextRevision .. ',"upload":' .. ARGV[4] .. '}')
return nextRevision
`

/**
 * Removes a record, remembers that it was erased, and tells so. KEYS as above. ARGV: id, index time to live
 * in ms, channel, time to live of the memory in ms.
 */
const eraseScript = `
redis.call('SET', KEYS[3], 1, 'PX', ARGV[4])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
${nextSequence}
redis.call('PUBLISH', ARGV[3], '{"sequence":' .. text .. ',"erased":"' .. ARGV[1] .. '"}')
return 1
`

/** The channel on which an owner's changes are told. */
export function changesChannel(prefix: string, owner: string): string {
  return `${prefix}:changes:${owner}`
}

/**
 * The records of uploads in Redis: a cache of what S3 knows, and the only place that knows of uploads whose
 * bytes have not come yet. Every key is under its owner, so another owner's id finds nothing.
 *
 *   {prefix}:{owner}:upload:{id}   hash: revision, record (JSON)
 *   {prefix}:{owner}:uploads       sorted set of ids, all of score 0: UUIDv7 sort by time
 *   {prefix}:{owner}:listed        there while the sorted set is known to be whole
 *   {prefix}:{owner}:erased:{id}   there while an upload is remembered as erased; 1, or `confirmed`
 *   {prefix}:{owner}:sequence      hash: last, since: the numbers of the owner's changes
 *   {prefix}:{owner}:recent        sorted set of ids by the number of their last change
 *
 * The owner is the hash tag, so all of one owner's keys lie in one slot of a Redis cluster.
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 */
export function createUploadRecords({ redis, prefix }: { redis: Redis; prefix: string }) {
  const recordKey = ({ owner, id }: UploadAddress) => `${prefix}:{${owner}}:upload:${id}`
  const indexKey = (owner: string) => `${prefix}:{${owner}}:uploads`
  const erasedKey = ({ owner, id }: UploadAddress) => `${prefix}:{${owner}}:erased:${id}`
  const sequenceKey = (owner: string) => `${prefix}:{${owner}}:sequence`
  const recentKey = (owner: string) => `${prefix}:{${owner}}:recent`
  const listedKey = (owner: string) => `${prefix}:{${owner}}:listed`

  /** @returns the record, or undefined where Redis has none (S3 may) */
  async function find(address: UploadAddress): Promise<StoredUpload | undefined> {
    const { revision, record } = await read(recordKey(address))
    if (typeof record !== 'string') return undefined
    return { upload: upload.Parse(JSON.parse(record)), revision: Number(revision) }
  }

  const read = createBatcher(async (recordKeys: readonly string[]) => {
    const pipeline = redis.pipeline()
    for (const key of recordKeys) pipeline.hmget(key, 'revision', 'record')
    const answers = (await pipeline.exec()) ?? []
    return answers.map(([error, fields]) => {
      if (error) throw error
      if (!Array.isArray(fields)) throw new Error('Redis answered a command otherwise than it says.')
      const [revision, record]: unknown[] = fields
      return { revision, record }
    })
  }, recordsAtOnce)

  function keys(address: UploadAddress): string[] {
    const { owner } = address
    return [recordKey(address), indexKey(owner), erasedKey(address), sequenceKey(owner), recentKey(owner)]
  }

  /**
   * @returns the new revision, or undefined where the record was no longer at the expected one
   * @throws AppError `upload_not_found` where the upload was erased
   */
  async function save(next: Upload, expectedRevision: number | undefined): Promise<number | undefined> {
    const revision = await redis.eval(
      saveScript,
      5,
      ...keys(next),
      next.id,
      indexTtlMs,
      changesChannel(prefix, next.owner),
      JSON.stringify(next),
      expectedRevision ?? '',
      isFinished(next) ? finishedTtlMs : openTtlMs,
    )
    if (revision === -1) throw new AppError('upload_not_found')
    return typeof revision === 'number' && revision > 0 ? revision : undefined
  }

  return {
    find,

    /**
     * Keeps a record that Redis did not have. Where somebody else put one there first, theirs stays.
     * @returns what Redis has now
     */
    async create(made: Upload): Promise<StoredUpload> {
      const revision = await save(made, undefined)
      if (revision !== undefined) return { upload: made, revision }
      const found = await find(made)
      if (!found) throw new AppError('conflict')
      return found
    },

    /**
     * Changes a record, however many others do so at the same time: the change is made anew from what is
     * there until it fits.
     *
     * @param change makes the next record; may run several times; returns undefined to leave things be
     * @returns what Redis has afterwards, or undefined where it has no such record
     * @throws AppError `conflict` after 16 collisions, `upload_not_found` where the upload was erased
     */
    async update(
      address: UploadAddress,
      change: (current: Upload) => Upload | undefined,
    ): Promise<StoredUpload | undefined> {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const current = await find(address)
        if (!current) return undefined
        const next = change(current.upload)
        if (!next) return current
        const stamped = { ...next, updatedAt: new Date().toISOString() }
        const revision = await save(stamped, current.revision)
        if (revision !== undefined) return { upload: stamped, revision }
      }
      throw new AppError('conflict')
    },

    /**
     * One page of an owner's ids, newest first.
     * @param before leaves out this id and all newer ones
     */
    async ids(owner: string, { before, limit }: { before?: string; limit: number }): Promise<string[]> {
      return redis.zrange(
        indexKey(owner),
        before ? `(${before}` : '+',
        '-',
        'BYLEX',
        'REV',
        'LIMIT',
        0,
        limit,
      )
    },

    /** Whether the index is known to hold every upload that S3 has of this owner. */
    async isListed(owner: string): Promise<boolean> {
      return (await redis.exists(listedKey(owner))) === 1
    },

    /** Adds what S3 was found to have, and remembers for a day that the index is whole. */
    async list(owner: string, ids: string[]): Promise<void> {
      const pipeline = redis.pipeline()
      for (let i = 0; i < ids.length; i += 1000) {
        pipeline.zadd(indexKey(owner), ...ids.slice(i, i + 1000).flatMap((id) => [0, id]))
      }
      pipeline.pexpire(indexKey(owner), indexTtlMs)
      pipeline.set(listedKey(owner), 1, 'PX', dayMs)
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error
    },

    /** Removes the record of an upload that never came to be, and its id from the index. */
    async forget(address: UploadAddress): Promise<void> {
      await redis.multi().del(recordKey(address)).zrem(indexKey(address.owner), address.id).exec()
    },

    /**
     * Removes the record, for good: whatever still works on the upload can't bring it back.
     */
    async erase(address: UploadAddress): Promise<void> {
      const channel = changesChannel(prefix, address.owner)
      await redis.eval(eraseScript, 5, ...keys(address), address.id, indexTtlMs, channel, erasedTtlMs)
    },

    /** Whether an upload was erased, as far as Redis remembers. */
    async isErased(address: UploadAddress): Promise<boolean> {
      return (await redis.exists(erasedKey(address))) === 1
    },

    /** Remembers that a second look at an erased upload has found, or left, nothing of it. */
    async confirmErasure(address: UploadAddress): Promise<void> {
      await redis.set(erasedKey(address), confirmed, 'PX', confirmedTtlMs)
    },

    /** Whether there was that second look, as far as Redis remembers. */
    async isErasureConfirmed(address: UploadAddress): Promise<boolean> {
      return (await redis.get(erasedKey(address))) === confirmed
    },

    /** The number of an owner's last change; 0 where there is none. */
    async lastSequence(owner: string): Promise<number> {
      return Number(await redis.hget(sequenceKey(owner), 'last')) || 0
    },

    /**
     * What changed after a change that somebody has seen, in the order of changes.
     * @returns undefined where Redis does not remember all of it
     */
    async changedSince(owner: string, seen: number): Promise<{ id: string; sequence: number }[] | undefined> {
      const [[last, since], oldest, recent] = await Promise.all([
        redis.hmget(sequenceKey(owner), 'last', 'since'),
        redis.zrange(recentKey(owner), '0', '0', 'WITHSCORES'),
        redis.zrangebyscore(recentKey(owner), `(${seen}`, '+inf', 'WITHSCORES'),
      ])
      if (!last || !since || seen > Number(last) || seen < Number(since)) return undefined
      const isCut = (await redis.zcard(recentKey(owner))) >= recentChanges
      if (isCut && seen < Number(oldest[1])) return undefined
      const changed: { id: string; sequence: number }[] = []
      for (let i = 0; i + 1 < recent.length; i += 2) {
        changed.push({ id: recent[i] ?? '', sequence: Number(recent[i + 1]) })
      }
      return changed
    },

    /** Takes an id out of the index: neither Redis nor S3 knows of it any more. */
    async unlist({ owner, id }: UploadAddress): Promise<void> {
      await redis.zrem(indexKey(owner), id)
    },
  }
}

export type UploadRecords = ReturnType<typeof createUploadRecords>
