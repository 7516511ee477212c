import type { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import { AppError } from './app-error.ts'
import type { UploadAddress } from './object-keys.ts'
import { isFinished, Upload } from './upload.ts'

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

/**
 * Sets a record only where its revision is still the one that the change was made from, puts it into its
 * owner's index and tells the owner's subscribers, all at once: subscribers see every change exactly in
 * the order in which they were made.
 *
 * KEYS: record, index. ARGV: expected revision ('' for none), record, time to live in ms, id,
 * index time to live in ms, channel.
 */
const saveScript = `
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
if revision ~= ARGV[1] then return 0 end
local nextRevision = (tonumber(revision) or 0) + 1
redis.call('HSET', KEYS[1], 'revision', nextRevision, 'record', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[6], '{"revision":' .. nextRevision .. ',"upload":' .. ARGV[2] .. '}')
return nextRevision
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
 *
 * The owner is the hash tag, so all of one owner's keys lie in one slot of a Redis cluster.
 *
 * @param deps.redis a connection
 * @param deps.prefix begins every key
 */
export function createUploadRecords({ redis, prefix }: { redis: Redis; prefix: string }) {
  const recordKey = ({ owner, id }: UploadAddress) => `${prefix}:{${owner}}:upload:${id}`
  const indexKey = (owner: string) => `${prefix}:{${owner}}:uploads`
  const listedKey = (owner: string) => `${prefix}:{${owner}}:listed`

  /** @returns the record, or undefined where Redis has none (S3 may) */
  async function find(address: UploadAddress): Promise<StoredUpload | undefined> {
    const [revision, record] = await redis.hmget(recordKey(address), 'revision', 'record')
    if (!revision || !record) return undefined
    return { upload: upload.Parse(JSON.parse(record)), revision: Number(revision) }
  }

  /** @returns the new revision, or undefined where the record was no longer at the expected one */
  async function save(next: Upload, expectedRevision: number | undefined): Promise<number | undefined> {
    const revision = await redis.eval(
      saveScript,
      2,
      recordKey(next),
      indexKey(next.owner),
      expectedRevision ?? '',
      JSON.stringify(next),
      isFinished(next) ? finishedTtlMs : openTtlMs,
      next.id,
      indexTtlMs,
      changesChannel(prefix, next.owner),
    )
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
     * @throws AppError `conflict` after 16 collisions
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

    /** Takes an id out of the index: neither Redis nor S3 knows of it any more. */
    async unlist({ owner, id }: UploadAddress): Promise<void> {
      await redis.zrem(indexKey(owner), id)
    },
  }
}

export type UploadRecords = ReturnType<typeof createUploadRecords>
