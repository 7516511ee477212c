import type { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import { AppError } from '../service/app-error.ts'
import { createBatcher } from '../service/batcher.ts'
import { erasureMarkerLifeMs, isFinished, Upload } from './upload.ts'
import type { UploadAddress } from './upload-address.ts'
import { indexTtlMs } from './upload-index.ts'
import { createUploadKeys } from './upload-keys.ts'

const upload = Compile(Upload)

/**
 * A record and its revision, which identifies this exact content. Revisions of an upload rise, also if Redis lost the
 * record in between, unless the clock of the new server is behind or an older version of Millrace created the record.
 */
export type StoredUpload = { upload: Upload; revision: number }

const dayMs = 24 * 60 * 60 * 1000

/** Expiry of records that can be rebuilt from a manifest. */
const finishedTtlMs = 7 * dayMs
/** Longer than any upload may stay open. */
const openTtlMs = 14 * dayMs

/** How often a change is repeated if another process changed the same record meanwhile. */
const attempts = 16

/** How many records are read in one pipeline. */
const readBatch = 100

/** Expiry of an erasure marker: longer than any signature for the upload is valid. */
const erasedTtlMs = 8 * dayMs
/** Expiry of a confirmed erasure marker: longer than the marker in S3 for other regions lives. */
const confirmedTtlMs = erasureMarkerLifeMs + dayMs
/** The value of a confirmed erasure marker. */
const confirmed = 'confirmed'
/** How many of an owner's last changes a reconnecting client can receive. */
const recentChanges = 1000

/**
 * Gives a change the next number of its owner's sequence. Numbers are at least the current ms since 1970, so they keep
 * rising if Redis lost the last one. `since` is the start of the known sequence.
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
 * Compare-and-set: saves a record if its revision is still the expected one and the upload was not erased, adds it to its
 * owner's index and publishes the change, in one step. So subscribers receive all changes in their order.
 *
 * A revision is at least the current ms since 1970, as sequence numbers are. So a record that is created again after Redis
 * lost its data, or that is changed on a replica that lacked the last changes, has a greater revision than any before, and
 * subscribers do not take it for an old one.
 *
 * KEYS: record, index, erased, sequence, recent. ARGV: id, expiry of the index in ms, channel, record, expected revision
 * ('' for none), expiry of the record in ms.
 */
const saveScript = `
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
if revision ~= ARGV[5] then return 0 end
${nextSequence}
local nextRevision = string.format('%.0f', math.max((tonumber(revision) or 0) + 1, now))
redis.call('HSET', KEYS[1], 'revision', nextRevision, 'record', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[3],
  '{"sequence":' .. text .. ',"revision":' .. nextRevision .. ',"upload":' .. ARGV[4] .. '}')
return tonumber(nextRevision)
`

/**
 * Deletes a record, sets the erasure marker, and publishes the erasure. KEYS as above. ARGV: id, expiry of the index in
 * ms, channel, expiry of the marker in ms.
 */
const eraseScript = `
redis.call('SET', KEYS[3], 1, 'PX', ARGV[4])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
${nextSequence}
redis.call('PUBLISH', ARGV[3], '{"sequence":' .. text .. ',"erased":"' .. ARGV[1] .. '"}')
return 1
`

/** Returns the channel on which an owner's changes are published. */
export function changesChannel(prefix: string, owner: string): string {
  return `${prefix}:changes:${owner}`
}

/**
 * Stores the records of uploads in Redis: a cache of S3, and the only place for uploads whose bytes have not arrived.
 * `upload-keys.ts` lists the keys. Saving and erasing keep the owner's index (`upload-index.ts`) up to date.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 */
export function createUploadRecords({ redis, prefix }: { redis: Redis; prefix: string }) {
  const {
    record: recordKey,
    index: indexKey,
    erased: erasedKey,
    sequence: sequenceKey,
    recent: recentKey,
  } = createUploadKeys(prefix)

  /** @returns the record, or undefined if Redis has none (S3 may have the upload) */
  async function find(address: UploadAddress): Promise<StoredUpload | undefined> {
    const { revision, record } = await read(recordKey(address))
    if (typeof record !== 'string') return undefined
    return { upload: upload.Parse(JSON.parse(record)), revision: Number(revision) }
  }

  const read = createBatcher(async (recordKeys: readonly string[]) => {
    const pipeline = redis.pipeline()
    for (const key of recordKeys) pipeline.hmget(key, 'revision', 'record')
    const results = (await pipeline.exec()) ?? []
    return results.map(([error, fields]) => {
      if (error) throw error
      if (!Array.isArray(fields)) throw new Error('Redis returned an unexpected result for HMGET.')
      const [revision, record]: unknown[] = fields
      return { revision, record }
    })
  }, readBatch)

  function keys(address: UploadAddress): string[] {
    const { owner } = address
    return [recordKey(address), indexKey(owner), erasedKey(address), sequenceKey(owner), recentKey(owner)]
  }

  /**
   * @returns the new revision, or undefined if the record's revision is not the expected one
   * @throws AppError `upload_not_found` if the upload was erased
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
     * Creates a record. If another process created one first, that one is kept.
     * @returns the record in Redis
     * @throws AppError `upload_not_found` if the upload was erased
     */
    async create(created: Upload): Promise<StoredUpload> {
      const revision = await save(created, undefined)
      if (revision !== undefined) return { upload: created, revision }
      const found = await find(created)
      if (!found) throw new AppError('conflict')
      return found
    },

    /**
     * Changes a record by compare-and-set. If another process changed it meanwhile, the change is computed again.
     *
     * @param change returns the next record, or undefined for no change; may be called several times
     * @returns the record in Redis afterwards, or undefined if there is none
     * @throws AppError `conflict` after 16 collisions, `upload_not_found` if the upload was erased
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

    /** Deletes the record of an upload whose admission failed, and its id in the index. */
    async forget(address: UploadAddress): Promise<void> {
      await redis.multi().del(recordKey(address)).zrem(indexKey(address.owner), address.id).exec()
    },

    /** Deletes the record and sets the erasure marker, so that no active job or late event restores it. */
    async erase(address: UploadAddress): Promise<void> {
      const channel = changesChannel(prefix, address.owner)
      await redis.eval(eraseScript, 5, ...keys(address), address.id, indexTtlMs, channel, erasedTtlMs)
    },

    /** Whether Redis has an erasure marker for the upload. */
    async isErased(address: UploadAddress): Promise<boolean> {
      return (await redis.exists(erasedKey(address))) === 1
    },

    /** Records that the second erasure of an upload left nothing. */
    async confirmErasure(address: UploadAddress): Promise<void> {
      await redis.set(erasedKey(address), confirmed, 'PX', confirmedTtlMs)
    },

    /** Whether Redis has a confirmed erasure marker for the upload. */
    async isErasureConfirmed(address: UploadAddress): Promise<boolean> {
      return (await redis.get(erasedKey(address))) === confirmed
    },

    /** Returns the sequence number of an owner's last change, or 0 if there is none. */
    async lastSequence(owner: string): Promise<number> {
      return Number(await redis.hget(sequenceKey(owner), 'last')) || 0
    },

    /**
     * Returns the changes after a sequence number, in their order.
     * @returns undefined if Redis does not have all of them
     */
    async changedSince(owner: string, seen: number): Promise<{ id: string; sequence: number }[] | undefined> {
      const [[last, since], oldest, recent] = await Promise.all([
        redis.hmget(sequenceKey(owner), 'last', 'since'),
        redis.zrange(recentKey(owner), '0', '0', 'WITHSCORES'),
        redis.zrangebyscore(recentKey(owner), `(${seen}`, '+inf', 'WITHSCORES'),
      ])
      if (!last || !since || seen > Number(last) || seen < Number(since)) return undefined
      const isTruncated = (await redis.zcard(recentKey(owner))) >= recentChanges
      if (isTruncated && seen < Number(oldest[1])) return undefined
      const changed: { id: string; sequence: number }[] = []
      for (let i = 0; i + 1 < recent.length; i += 2) {
        changed.push({ id: recent[i] ?? '', sequence: Number(recent[i + 1]) })
      }
      return changed
    },
  }
}

export type UploadRecords = ReturnType<typeof createUploadRecords>
