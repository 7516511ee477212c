import type { ListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { DeadlineError, withDeadline } from '@millrace/shared/service/deadline.ts'
import type { RedisEpoch } from '@millrace/shared/service/redis-epoch.ts'
import { isUnreadable } from '@millrace/shared/service/stored-json.ts'
import { hasExpired, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { largestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { CompleteIndex } from './complete-index.ts'

/** How long a request waits for the newest uploads to be listed from S3, in ms. */
const defaultWaitMs = 1_000
/** How many lookups of a page may find nothing. */
const spareLookups = 50
/** How many lookups run at once. Records in Redis are read in one call. */
const lookupsAtOnce = 50
/** An index with less than this part of its largest size is extended, if the owner has older uploads. */
const roomFactor = 0.8
/** How many rounds of listings of S3 one page may cost. One window of time is found within 10. */
const maxRounds = 16

/** Ids without gaps, newest first. `next` is the position after them; undefined if they are the last ones. */
type Ids = { ids: string[]; next: string | undefined }

/**
 * Lists an owner's uploads, newest first. The newest ids are in Redis (`upload-index.ts`), older ones are listed from
 * S3. A page costs a bounded number of requests to either, however many uploads there are.
 *
 * @param deps.waitMs how long a request waits if Redis may have lost a part of the index, in ms
 */
export function createListUploads(deps: {
  index: UploadIndex
  epoch: RedisEpoch
  completeIndex: CompleteIndex
  listUploadIds: ListUploadIds
  lookup: UploadLookup
  waitMs?: number
}) {
  const { index, epoch, completeIndex, listUploadIds, lookup, waitMs = defaultWaitMs } = deps

  /**
   * Returns one page of an owner's uploads.
   *
   * @param options.before the cursor of the previous page: excludes this id and all newer ones
   * @param options.limit the largest number of uploads of the page
   * @returns the page, and the cursor of the next one, unless nothing older can follow. A page with a cursor can be
   *   short, or empty: what was looked up no longer exists. After a loss of Redis, an upload can be on two pages
   */
  return async function listUploads(
    owner: string,
    { before, limit }: { before?: string; limit: number },
  ): Promise<{ uploads: Upload[]; nextCursor?: string }> {
    const uploads: Upload[] = []
    let lookups = limit + spareLookups
    let cursor = before
    for await (const { ids, next } of newestFirst(owner, before, lookups)) {
      let taken = 0
      while (taken < ids.length && uploads.length < limit && lookups > 0) {
        const count = Math.min(lookupsAtOnce, limit - uploads.length, lookups)
        const batch = ids.slice(taken, taken + count)
        uploads.push(...(await findListed(owner, batch)))
        taken += batch.length
        lookups -= batch.length
      }
      const isWhole = taken === ids.length
      cursor = isWhole ? next : ids[taken - 1]
      if (cursor === undefined) return { uploads }
      if (!isWhole || uploads.length === limit || lookups <= 0) break
    }
    return { uploads, nextCursor: cursor ?? largestUploadId }
  }

  /** Looks uploads up. Those that no longer exist leave the index. */
  async function findListed(owner: string, ids: string[]): Promise<Upload[]> {
    const found = await Promise.all(
      ids.map(async (id) => ({ id, stored: await findReadable({ owner, id }) })),
    )
    const listed: Upload[] = []
    const gone: { id: string; revision: number | undefined }[] = []
    for (const { id, stored } of found) {
      if (stored === 'unreadable') continue
      if (stored && !hasExpired(stored.upload, Date.now())) listed.push(stored.upload)
      else gone.push({ id, revision: stored?.revision })
    }
    await index.remove(owner, gone)
    return listed
  }

  async function findReadable(address: UploadAddress): Promise<StoredUpload | 'unreadable' | undefined> {
    try {
      return await lookup.find(address)
    } catch (error) {
      // Another version can read it, so it stays in the index. The rest of the page is listed.
      if (isUnreadable(error)) return 'unreadable'
      throw error
    }
  }

  /**
   * Yields the ids before a position: those of the index, then older ones from S3. If the index may be incomplete, it is
   * completed first; if that takes longer than `waitMs`, it goes on in the background.
   */
  async function* newestFirst(owner: string, before: string | undefined, limit: number): AsyncGenerator<Ids> {
    const current = await epoch.current()
    let page = await index.page(owner, { before, limit })
    if (page.known?.epoch !== current) {
      const failure = await waitForNewest(owner, current)
      page = await index.page(owner, { before, limit })
      if (failure !== undefined && !page.known) throw failure
    } else if (await hasRoom(owner, page.known.from)) {
      // The instance that completed the index has died, or many uploads were erased.
      completeIndex(owner, current).catch(() => undefined)
    }
    const { known } = page
    const start = before ?? largestUploadId
    if (!known) {
      // The index may have gaps anywhere. So the next page begins at the same position.
      yield { ids: page.ids, next: start }
      return
    }
    const ids = page.ids.filter((id) => id >= known.from)
    const isLimited = ids.length === limit
    if (known.epoch !== current) {
      // Complete in an earlier epoch, so only the last changes before this one can be missing.
      yield { ids, next: (isLimited ? ids.at(-1) : known.from) || (ids.at(-1) ?? start) }
      return
    }
    if (ids.length > 0 || known.from === '') {
      yield { ids, next: (isLimited ? ids.at(-1) : known.from) || undefined }
    }
    if (isLimited || known.from === '') return
    // These are too old for the index.
    let [end = start] = [start, known.from].sort()
    for await (const { ids, from } of listUploadIds(owner, { before: end, maxRounds })) {
      // Uploads whose bytes have not arrived are only in the index.
      const indexed = await index.between(owner, { before: end, from })
      yield { ids: [...new Set([...ids, ...indexed])].sort().reverse(), next: from || undefined }
      end = from
    }
  }

  /** Whether an index that is complete from an id on can take older ids, and the owner may have some. */
  async function hasRoom(owner: string, from: string): Promise<boolean> {
    return from !== '' && (await index.countFrom(owner, from)) < index.maxIds * roomFactor
  }

  /** @returns why the newest ids could not be listed; undefined if they were, or if it takes longer than `waitMs` */
  async function waitForNewest(owner: string, current: number): Promise<unknown> {
    try {
      await withDeadline('Listing the newest uploads', waitMs, () => completeIndex(owner, current))
      return undefined
    } catch (error) {
      return error instanceof DeadlineError ? undefined : error
    }
  }
}

export type ListUploads = ReturnType<typeof createListUploads>
