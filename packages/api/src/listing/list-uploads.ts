import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { hasExpired, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { largestUploadId, smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { NewestIds } from './newest-ids.ts'
import type { OldestIds } from './oldest-ids.ts'
import { idRangeOf, type ListOrder, matchesFilter, readsRecords, type UploadFilter } from './upload-filter.ts'

/** How many lookups of a page may find nothing. */
const spareLookups = 50
/** The same for a page with a filter that reads records: of a rare match, a page looks at this many uploads. */
const spareFilteredLookups = 300
/** How many lookups run at once. Records in Redis are read in one call. */
const lookupsAtOnce = 50

/** What one page of a list should have. */
export type ListOptions = {
  /** The cursor of the previous page: excludes this id and all before it in the order. */
  cursor?: string | undefined
  /** The largest number of uploads of the page. */
  limit: number
  /** Default: `newest`. */
  order?: ListOrder
  filter?: UploadFilter
}

/**
 * Lists an owner's uploads by time. A page costs a bounded number of requests to Redis and S3, however many uploads there are
 * and however few of them match.
 */
export function createListUploads(deps: {
  index: Pick<UploadIndex, 'remove'>
  newestIds: NewestIds
  oldestIds: OldestIds
  lookup: UploadLookup
}) {
  const { index, newestIds, oldestIds, lookup } = deps

  /**
   * Returns one page of an owner's uploads.
   *
   * A cursor is a position in time. With another filter or order, the list continues at the same position.
   *
   * @returns the page, and the cursor of the next one, unless nothing can follow. A page with a cursor can be short, or
   *   empty: what was looked up no longer exists, or does not match. After a loss of Redis, an upload can be on two pages
   * @throws AppError `invalid_request` if the filter's times are invalid
   */
  return async function listUploads(
    owner: string,
    { cursor, limit, order = 'newest', filter = {} }: ListOptions,
  ): Promise<{ uploads: Upload[]; nextCursor?: string }> {
    const isNewest = order === 'newest'
    const { after, before } = idRangeOf(filter)
    const start = isNewest ? earliest(cursor, before) : latest(cursor, after)
    const isBeyond = (position: string) =>
      isNewest ? after !== undefined && position <= after : before !== undefined && position >= before
    const isFiltered = readsRecords(filter)
    let lookups = limit + (isFiltered ? spareFilteredLookups : spareLookups)
    const uploads: Upload[] = []
    let position = start
    for await (const { ids, next } of isNewest
      ? newestIds(owner, start, lookups)
      : oldestIds(owner, start, lookups)) {
      const inRange = ids.filter((id) => !isBeyond(id))
      let taken = 0
      while (taken < inRange.length && uploads.length < limit && lookups > 0) {
        const most = isFiltered ? lookupsAtOnce : Math.min(lookupsAtOnce, limit - uploads.length)
        const batch = inRange.slice(taken, taken + Math.min(most, lookups))
        lookups -= batch.length
        const found = await findListed(owner, batch)
        const matching = found.filter((upload) => matchesFilter(upload, filter))
        const room = limit - uploads.length
        uploads.push(...matching.slice(0, room))
        const last = uploads.at(-1)
        // What follows the last one that fits is looked up again for the next page.
        if (matching.length > room && last) taken = inRange.indexOf(last.id) + 1
        else taken += batch.length
      }
      const isWhole = taken === inRange.length
      const isEnd = isWhole && (inRange.length < ids.length || next === undefined || isBeyond(next))
      if (isEnd) return { uploads }
      position = isWhole ? next : inRange[taken - 1]
      if (!isWhole || uploads.length >= limit || lookups <= 0) break
    }
    return { uploads, nextCursor: position ?? (isNewest ? largestUploadId : smallestUploadId(0)) }
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
}

export type ListUploads = ReturnType<typeof createListUploads>

function earliest(one: string | undefined, other: string | undefined): string | undefined {
  return one === undefined || (other !== undefined && other < one) ? other : one
}

function latest(one: string | undefined, other: string | undefined): string | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one
}
