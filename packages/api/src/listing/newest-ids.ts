import type { RedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import type { ListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import { DeadlineError, withDeadline } from '@millrace/shared/service/deadline.ts'
import { largestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { CompleteIndex } from './complete-index.ts'

/** How long a request waits for the newest uploads to be listed from S3, in ms. */
const defaultWaitMs = 1_000
/** An index with less than this part of its largest size is extended, if the owner has older uploads. */
const roomFactor = 0.8
/** How many rounds of listings of S3 one page may cost. One window of time is found within 10. */
const maxRounds = 16

/** Ids without gaps, in the order of the list. `next` is the position after them; undefined if they are the last ones. */
export type Ids = { ids: string[]; next: string | undefined }

/**
 * Finds an owner's ids, newest first: the newest in Redis, older ones in S3.
 *
 * @param deps.waitMs how long a request waits if Redis may have lost a part of the index, in ms
 */
export function createNewestIds(deps: {
  index: UploadIndex
  epoch: RedisEpoch
  completeIndex: CompleteIndex
  listUploadIds: ListUploadIds
  waitMs?: number
}) {
  const { index, epoch, completeIndex, listUploadIds, waitMs = defaultWaitMs } = deps

  /**
   * Yields the ids before a position: those of the index, then older ones from S3. If the index may be incomplete, it is
   * completed first; if that takes longer than `waitMs`, it goes on in the background.
   *
   * @param before excludes this id and all newer ones
   * @param limit how many ids of the index are read
   */
  return async function* newestIds(
    owner: string,
    before: string | undefined,
    limit: number,
  ): AsyncGenerator<Ids> {
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

export type NewestIds = ReturnType<typeof createNewestIds>
