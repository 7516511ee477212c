import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import { createRedisEpoch, type RedisEpoch } from '../connections/redis-epoch.ts'
import { createRedisMemory, type RedisMemory } from '../connections/redis-memory.ts'
import { runScript } from '../connections/redis-script.ts'
import { isWrongType, parseStored, unreadableRecord } from '../connections/stored-json.ts'
import { AppError } from '../service/app-error.ts'
import { createBatcher } from '../service/batcher.ts'
import { type CountedNetwork, formatNetworks, parseNetworks } from './counted-networks.ts'
import { type KeyLives, keyLives } from './memory-budget.ts'
import { usersGroupOf } from './owner.ts'
import { erasureMarkerLifeMs, isFinished, Upload, withEdit } from './upload.ts'
import type { UploadAddress } from './upload-address.ts'
import { createUploadKeys } from './upload-keys.ts'
import {
  confirmed,
  confirmScript,
  eraseScript,
  forgetScript,
  keepNetworks,
  maxRecentChanges,
  maxRecentOfUsers,
  saveScript,
  verified,
  verifyScript,
} from './upload-record-scripts.ts'

const upload = Compile(Upload)

/**
 * A record and its revision, which identifies this exact content. Revisions of an upload rise, also if Redis lost the
 * record in between, unless the clock of the new server is behind or an older version of Millrace created the record.
 */
export type StoredUpload = { upload: Upload; revision: number }

/**
 * A record, and whether it was written or checked against S3 in the current epoch of Redis. An unchecked one may be
 * out of date: Redis may have lost later changes.
 */
export type FoundUpload = StoredUpload & { isChecked: boolean }

const dayMs = 24 * 60 * 60 * 1000

/** How often a change is repeated if another process changed the same record meanwhile. */
const attempts = 16

/**
 * How long after its end an upload without a record is created again silently, in ms. Before, its end may be among what
 * Redis lost, so it is published again.
 */
const quietAfterMs = 60 * 60 * 1000

/** How many records are read in one pipeline. */
const readBatch = 100

/** Expiry of an erasure marker: longer than any signature for the upload is valid. */
const erasedTtlMs = 8 * dayMs
/** Expiry of a confirmed erasure marker: longer than the marker in S3 for other regions lives. */
const confirmedTtlMs = erasureMarkerLifeMs + dayMs
/**
 * How long the last changes of an owner without uploads are kept, in ms: an event stream that reconnects reads that an upload
 * was erased.
 */
const changesLifeMs = 60 * 60 * 1000
/**
 * How long an upload that ended without bytes still counts as unfinished, in ms: for its owner and for its networks. It leaves
 * an erasure marker or its outcome, and whoever announces and erases again and again must not fill Redis with them. An owner
 * with an API key may have many imports that fail, and counts to no network.
 */
const endedCountMs = { owner: 60 * 60 * 1000, networks: 6 * 60 * 60 * 1000 }
/** Returns the channel on which an owner's changes are published. */
export function changesChannel(prefix: string, owner: string): string {
  return `${prefix}:changes:${owner}`
}

/** Returns a pattern for SCAN that matches the keys of all records. */
export function recordKeysPattern(prefix: string): string {
  return `${prefix}:{*}:upload:*`
}

/**
 * Stores the records of uploads in Redis: a cache of S3, and the only place for uploads whose bytes have not arrived.
 * `upload-keys.ts` lists the keys. Saving and erasing keep the owner's index (`upload-index.ts`) up to date.
 *
 * @param deps.redis a connection
 * @param deps.prefix prefix of every key
 * @param deps.epoch the epoch of this Redis
 * @param deps.redisMemory decides how long records of finished uploads stay (`memory-budget.ts`)
 */
export function createUploadRecords(deps: {
  redis: Redis
  prefix: string
  epoch?: RedisEpoch
  redisMemory?: RedisMemory
}) {
  const { redis, prefix, epoch = createRedisEpoch(deps), redisMemory = createRedisMemory(deps) } = deps
  const {
    record: recordKey,
    index: indexKey,
    erased: erasedKey,
    sequence: sequenceKey,
    recent: recentKey,
    listed: listedKey,
    unfinished: unfinishedKey,
    unfinishedOf,
  } = createUploadKeys(prefix)

  /**
   * @returns the record, or undefined if Redis has none (S3 may have the upload)
   * @throws AppError `unreadable_record` if another version wrote the record in another form. All functions that change a
   *   record throw it too, so that such a record is never replaced
   */
  async function find(address: UploadAddress): Promise<FoundUpload | undefined> {
    const key = recordKey(address)
    const [{ revision, record, checkedIn }, current] = await Promise.all([read(key), epoch.current()])
    if (revision === null && record === null) return undefined
    if (typeof record !== 'string' || !Number.isSafeInteger(Number(revision ?? Number.NaN))) {
      throw unreadableRecord(`${key} has no record or no revision.`)
    }
    return {
      upload: parseStored(upload, record, key),
      revision: Number(revision),
      isChecked: Number(checkedIn) === current,
    }
  }

  const read = createBatcher<string, { revision: unknown; record: unknown; checkedIn: unknown }>(
    async (recordKeys) => {
      const results = await readFields(recordKeys)
      return results.map(([error, fields], index) => {
        // Of one key alone, unlike an outage: the other lookups of the batch succeed.
        if (isWrongType(error)) return unreadableRecord(`${recordKeys[index]} is no hash.`)
        if (error) throw error
        if (!Array.isArray(fields)) throw new Error('Redis returned an unexpected result for HMGET.')
        const [revision, record, checkedIn]: unknown[] = fields
        return { revision, record, checkedIn }
      })
    },
    readBatch,
  )

  /** A pipeline of ioredis costs more than one command. */
  async function readFields(
    recordKeys: readonly string[],
  ): Promise<[error: Error | null, fields: unknown][]> {
    const fields = ['revision', 'record', 'epoch'] as const
    const [key] = recordKeys
    if (recordKeys.length === 1 && key !== undefined) {
      return redis.hmget(key, ...fields).then(
        (found) => [[null, found]],
        (error) => [[error, undefined]],
      )
    }
    const pipeline = redis.pipeline()
    for (const each of recordKeys) pipeline.hmget(each, ...fields)
    return (await pipeline.exec()) ?? []
  }

  function keys(address: UploadAddress): string[] {
    const { owner } = address
    const group = usersGroupOf(owner)
    return [
      recordKey(address),
      indexKey(owner),
      erasedKey(address),
      sequenceKey(owner),
      recentKey(owner),
      listedKey(owner),
      unfinishedKey(owner),
      ...(group === undefined ? [] : [sequenceKey(group), recentKey(group)]),
    ]
  }

  /** Returns the owner, and the channel of all users of its tenant if it is one, as the scripts expect them. */
  function usersChannelOf(owner: string): [owner: string, usersChannel: string] {
    const group = usersGroupOf(owner)
    return [owner, group === undefined ? '' : changesChannel(prefix, group)]
  }

  /**
   * @returns the new revision, or undefined if the record's revision is not the expected one
   * @throws AppError `upload_not_found` if the upload was erased
   */
  async function save(
    next: Upload,
    expectedRevision: number | undefined,
    options: { isChecked: boolean; isQuiet?: boolean; networks?: readonly CountedNetwork[] | undefined },
  ): Promise<number | undefined> {
    const { isChecked, isQuiet = false, networks } = options
    const nowMs = Date.now()
    const lives = await keyLives(next, redisMemory.usedShare, nowMs)
    const scriptKeys = keys(next)
    const revision = await runScript(
      redis,
      saveScript,
      scriptKeys.length,
      ...scriptKeys,
      next.id,
      lives.ownerKeys,
      changesChannel(prefix, next.owner),
      JSON.stringify(next),
      expectedRevision ?? '',
      lives.record,
      isChecked ? await epoch.current() : '',
      isQuiet ? 1 : '',
      networks ? formatNetworks(networks) : keepNetworks,
      unfinishedOf(''),
      ...countsUntil(next, lives, nowMs),
      ...usersChannelOf(next.owner),
    )
    if (revision === -1) throw new AppError('upload_not_found')
    return typeof revision === 'number' && revision > 0 ? revision : undefined
  }

  /** Returns the last changes after a sequence number that Redis has, in their order; at most `maxRecentChanges`. */
  async function recentChanges(owner: string, seen: number): Promise<{ id: string; sequence: number }[]> {
    const recent = await redis.zrangebyscore(recentKey(owner), `(${seen}`, '+inf', 'WITHSCORES')
    const changed: { id: string; sequence: number }[] = []
    for (let i = 0; i + 1 < recent.length; i += 2) {
      changed.push({ id: recent[i] ?? '', sequence: Number(recent[i + 1]) })
    }
    return changed
  }

  return {
    find,

    /**
     * Creates a record of a new upload, or of one that was read from S3. If another process created one first, that one
     * is kept.
     * @param options.networks the networks that count the upload as unfinished (`unfinished-uploads.ts`)
     * @returns the record in Redis
     * @throws AppError `upload_not_found` if the upload was erased
     */
    async create(
      created: Upload,
      { networks }: { networks?: readonly CountedNetwork[] } = {},
    ): Promise<StoredUpload> {
      const revision = await save(created, undefined, { isChecked: true, networks })
      if (revision !== undefined) return { upload: created, revision }
      const found = await find(created)
      if (!found) throw new AppError('conflict')
      return found
    },

    /**
     * Changes a record by compare-and-set. If another process changed it meanwhile, the change is computed again.
     *
     * @param change returns the next record, or undefined for no change; may be called several times
     * @param options.isChecked whether the next record is what S3 says, whatever the current one says
     * @param options.found the record if it was read before, so that it is not read again. If it has changed since, it is
     * @returns the record in Redis afterwards, or undefined if there is none
     * @throws AppError `conflict` after 16 collisions, `upload_not_found` if the upload was erased
     */
    async update(
      address: UploadAddress,
      change: (current: Upload) => Upload | undefined,
      { isChecked = false, found }: { isChecked?: boolean; found?: StoredUpload | undefined } = {},
    ): Promise<StoredUpload | undefined> {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const current = attempt === 0 && found ? found : await find(address)
        if (!current) return undefined
        const next = change(current.upload)
        if (!next) return current
        // Whoever changes the intent, such as an import that knows the source's filename, does not undo an edit.
        const stamped = withEdit({ ...next, updatedAt: new Date().toISOString() }, next.edit)
        const revision = await save(stamped, current.revision, { isChecked })
        if (revision !== undefined) return { upload: stamped, revision }
      }
      throw new AppError('conflict')
    },

    /**
     * Replaces a record by what S3 says, or confirms it, unless another process changed it since.
     *
     * @param found the record that was checked; undefined if Redis had none
     * @param next what S3 says
     * @returns the record in Redis, or undefined if another process changed it: read it again
     * @throws AppError `upload_not_found` if the upload was erased
     */
    async putChecked(found: FoundUpload | undefined, next: Upload): Promise<StoredUpload | undefined> {
      if (found && isDeepStrictEqual({ ...found.upload, updatedAt: next.updatedAt }, next)) {
        const key = recordKey(next)
        const expected = found.revision
        const isSame = await runScript(redis, confirmScript, 1, key, expected, await epoch.current())
        return isSame === 1 ? found : undefined
      }
      const stamped = found ? { ...next, updatedAt: new Date().toISOString() } : next
      // That the record of an upload has expired is no change. But the end of an upload may be among what Redis lost.
      const isQuiet = !found && isFinished(next) && Date.now() - Date.parse(next.updatedAt) > quietAfterMs
      const revision = await save(stamped, found?.revision, { isChecked: true, isQuiet })
      return revision === undefined ? undefined : { upload: stamped, revision }
    },

    /**
     * Deletes the record of an upload that does not exist: its admission failed, or its bytes never came. Its id leaves
     * the index, and subscribers are told.
     *
     * @param found deletes only this revision
     * @returns false if the record has another revision
     */
    async forget(address: UploadAddress, found?: StoredUpload): Promise<boolean> {
      const channel = changesChannel(prefix, address.owner)
      const expected = found?.revision ?? ''
      const scriptKeys = keys(address)
      const result = await runScript(
        redis,
        forgetScript,
        scriptKeys.length,
        ...scriptKeys,
        address.id,
        changesLifeMs,
        channel,
        expected,
        unfinishedOf(''),
        ...['', ''],
        ...usersChannelOf(address.owner),
      )
      return result === 1
    },

    /** Deletes the record and sets the erasure marker, so that no active job or late event restores it. */
    async erase(address: UploadAddress): Promise<void> {
      const channel = changesChannel(prefix, address.owner)
      const scriptKeys = keys(address)
      await runScript(
        redis,
        eraseScript,
        scriptKeys.length,
        ...scriptKeys,
        ...[address.id, changesLifeMs, channel, erasedTtlMs, unfinishedOf('')],
        ...endedCountUntil(Date.now()),
        ...usersChannelOf(address.owner),
      )
    },

    /** Returns the networks that count an upload as unfinished. None once its bytes arrived. */
    async networksOf(address: UploadAddress): Promise<CountedNetwork[]> {
      return parseNetworks((await redis.hget(recordKey(address), 'counted')) ?? '')
    },

    /** Whether Redis has an erasure marker for the upload. */
    async isErased(address: UploadAddress): Promise<boolean> {
      return (await redis.exists(erasedKey(address))) === 1
    },

    /** Records that a listing showed no object of an erased upload. */
    async verifyErasure(address: UploadAddress): Promise<void> {
      await runScript(redis, verifyScript, 1, erasedKey(address), erasedTtlMs)
    },

    /** Whether Redis knows that no object of an erased upload was left. */
    async isErasureVerified(address: UploadAddress): Promise<boolean> {
      const value = await redis.get(erasedKey(address))
      return value === verified || value === confirmed
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
     * @returns undefined if Redis does not have all of them. Sequence numbers are times, so a number from before the
     *   current epoch shows that some may be lost
     */
    changedSince: (owner: string, seen: number) => changedSince(owner, seen, maxRecentChanges),

    /**
     * Returns the changes of all users of a tenant after a sequence number, in their order.
     * @param group of the users (`usersGroup`); it has a sequence of its own
     * @returns undefined if Redis does not have all of them
     */
    async usersChangedSince(
      group: string,
      seen: number,
    ): Promise<{ address: UploadAddress; sequence: number }[] | undefined> {
      const changed = await changedSince(group, seen, maxRecentOfUsers)
      return changed?.map(({ id: member, sequence }) => {
        const [owner = '', id = ''] = member.split(' ')
        return { address: { owner, id }, sequence }
      })
    },

    recentChanges,
  }

  async function changedSince(
    owner: string,
    seen: number,
    maxChanges: number,
  ): Promise<{ id: string; sequence: number }[] | undefined> {
    if (seen < (await epoch.current())) return undefined
    const [[last, since], oldest, recent] = await Promise.all([
      redis.hmget(sequenceKey(owner), 'last', 'since'),
      redis.zrange(recentKey(owner), '0', '0', 'WITHSCORES'),
      recentChanges(owner, seen),
    ])
    if (!last || !since || seen > Number(last) || seen < Number(since)) return undefined
    const isTruncated = (await redis.zcard(recentKey(owner))) >= maxChanges
    if (isTruncated && seen < Number(oldest[1])) return undefined
    return recent
  }
}

export type UploadRecords = ReturnType<typeof createUploadRecords>

/**
 * Returns until when an upload counts as unfinished for its owner and for its networks, and whether that may only extend or
 * only shorten it.
 */
function countsUntil({ state, arrival }: Upload, { record }: KeyLives, nowMs: number): (string | number)[] {
  if (state === 'awaiting') return [nowMs + record, nowMs + record, 'GT']
  return arrival ? ['', '', 'LT'] : [...endedCountUntil(nowMs), 'LT']
}

function endedCountUntil(nowMs: number): [owner: number, networks: number] {
  return [nowMs + endedCountMs.owner, nowMs + endedCountMs.networks]
}
