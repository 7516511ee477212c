import type { RedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import type { ListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import { smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { CompleteIndex } from './complete-index.ts'
import type { Ids } from './newest-ids.ts'

/** How many rounds of listings of S3 one page may cost. */
const maxRounds = 8

/**
 * Finds an owner's ids, oldest first. Where the index in Redis is known to be complete, it is enough. S3 has all others but
 * those whose bytes have not arrived, which only the index has.
 */
export function createOldestIds(deps: {
  index: UploadIndex
  epoch: RedisEpoch
  completeIndex: CompleteIndex
  listOldestUploadIds: ListOldestUploadIds
}) {
  const { index, epoch, completeIndex, listOldestUploadIds } = deps

  /**
   * Yields the ids after a position.
   *
   * @param after excludes this id and all older ones; undefined: begins with the oldest
   * @param limit how many ids of the index are read at a time
   */
  return async function* oldestIds(
    owner: string,
    after: string | undefined,
    limit: number,
  ): AsyncGenerator<Ids> {
    const completeFrom = await findCompleteFrom(owner)
    if (completeFrom === undefined) completeIndex(owner, await epoch.current()).catch(() => undefined)
    if (completeFrom !== undefined && (after ?? '') >= completeFrom) {
      yield await readRun({ after, fromS3: [], upTo: undefined })
      return
    }
    let position = after
    const range = { after, before: completeFrom, maxRounds }
    for await (const { ids, upTo } of listOldestUploadIds(owner, range)) {
      const run = await readRun({ after: position, fromS3: ids, upTo })
      yield run
      // The index may have more within this range.
      if (run.next === undefined || run.next !== upTo) return
      position = run.next
    }

    /** Adds the ids of the index to those of S3. */
    async function readRun(run: {
      after: string | undefined
      fromS3: string[]
      upTo: string | undefined
    }): Promise<Ids> {
      const indexed = await index.oldest(owner, { after: run.after, upTo: run.upTo, limit })
      if (run.upTo === undefined && completeFrom !== undefined && !(await isStillComplete(completeFrom))) {
        // Ids have left the index since, and are in S3 only. The next page finds them there.
        return { ids: [], next: run.after ?? smallestUploadId(0) }
      }
      const next = indexed.length === limit ? indexed.at(-1) : run.upTo
      const ids = [...new Set([...run.fromS3, ...indexed])].sort()
      return { ids: next === undefined ? ids : ids.filter((id) => id <= next), next }
    }

    async function isStillComplete(from: string): Promise<boolean> {
      const current = await findCompleteFrom(owner)
      return current !== undefined && current <= from
    }
  }

  /** @returns the id from which on the index is complete; undefined: it may have gaps anywhere */
  async function findCompleteFrom(owner: string): Promise<string | undefined> {
    const [current, known] = await Promise.all([epoch.current(), index.known(owner)])
    return known?.epoch === current ? known.from : undefined
  }
}

export type OldestIds = ReturnType<typeof createOldestIds>
