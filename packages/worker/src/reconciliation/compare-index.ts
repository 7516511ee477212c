import type { CheckUpload } from '@millrace/shared/lifecycle/check-upload.ts'
import { deriveUpload } from '@millrace/shared/lifecycle/upload-truth.ts'
import type { ListedIds } from '@millrace/shared/uploads/listed-ids.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { FoundUpload, UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { SweepRun } from './sweep-run.ts'

/** Indexes that are read at a time. */
const indexesAtOnce = 100
/** Ids that are read of an index at a time, and records that are read at a time. */
const pageSize = 1000

/** A part of an owner's index. */
export type IndexRange = {
  owner: string
  /** Excludes this id and all older ones. */
  after?: string | undefined
  /** Excludes all newer ids. */
  upTo?: string | undefined
  /** The ids in this range of which S3 has an object. */
  inS3: ReadonlySet<string>
}

/**
 * Compares owners' indexes in Redis with what S3 has. Uploads whose bytes may still come stay; the others are checked,
 * which deletes their records. Ids of which neither Redis nor S3 knows anything leave the index.
 */
export function createCompareIndex(deps: {
  listedIds: Pick<ListedIds, 'between'>
  records: Pick<UploadRecords, 'find'>
  index: Pick<UploadIndex, 'remove'>
  checkUpload: CheckUpload
  run: SweepRun
}) {
  const { listedIds, records, index, checkUpload, run } = deps

  return async function compareIndex(ranges: IndexRange[]): Promise<void> {
    let rest = ranges
    while (rest.length > 0) {
      const batch = rest.slice(0, indexesAtOnce)
      const pages = await Promise.all(
        batch.map(({ owner, after, upTo }) => listedIds.between(owner, { after, upTo, limit: pageSize })),
      )
      const missing = batch.flatMap(({ owner, inS3 }, i) =>
        (pages[i] ?? []).filter((id) => !inS3.has(id)).map((id) => ({ owner, id })),
      )
      for (let i = 0; i < missing.length; i += pageSize) await compare(missing.slice(i, i + pageSize))
      const unread = batch.flatMap((range, i) => {
        const ids = pages[i] ?? []
        return ids.length < pageSize ? [] : [{ ...range, after: ids.at(-1) }]
      })
      if (unread.length > 0) await run.nextPage()
      rest = [...unread, ...rest.slice(batch.length)]
    }
  }

  /** Finds out what to do with uploads of which S3 has no object. */
  async function compare(addresses: UploadAddress[]): Promise<void> {
    const found = await Promise.allSettled(addresses.map(records.find))
    const isOf = (kind: string) => (_: UploadAddress, i: number) => {
      const [result, address] = [found[i], addresses[i]]
      if (!result || !address) return false
      return (result.status === 'rejected' ? 'unreadable' : judge(address, result.value)) === kind
    }
    await run.checks.each(addresses.filter(isOf('unreadable')), async (address) => {
      await records.find(address)
    })
    await run.checks.correct('record-without-object', addresses.filter(isOf('absent')), (address) =>
      checkUpload(address, { isBackfill: true }),
    )
    await run.checks.correct('id-without-upload', addresses.filter(isOf('unknown')), async (address) => {
      if (await checkUpload(address, { isBackfill: true })) return
      await index.remove(address.owner, [{ id: address.id, revision: undefined }])
    })
  }

  function judge(address: UploadAddress, found: FoundUpload | undefined): 'present' | 'absent' | 'unknown' {
    if (!found) return uploadIdTimeMs(address.id) <= run.youngAfterMs ? 'unknown' : 'present'
    const isYoung = Date.parse(found.upload.updatedAt) > run.youngAfterMs
    const truth = deriveUpload(address, { isErased: false, record: found.upload }, run.startedAtMs)
    return truth.kind === 'absent' && !isYoung ? 'absent' : 'present'
  }
}

export type CompareIndex = ReturnType<typeof createCompareIndex>
