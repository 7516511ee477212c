import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { erasedPrefix, parseErasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'

/**
 * Milliseconds from an erasure in one region to the second look in each of them. S3 copies nothing whose source is gone,
 * but what it had read already may still land, and of variants no event tells. S3 copies most objects within 15 minutes
 * (S3 User Guide, "Replication Time Control").
 */
const secondLookAfterMs = 15 * 60 * 1000

/**
 * Goes through what regions have told of erasures, and erases each of these uploads here once more when it is time:
 * copies that landed late, and everything where the event was lost. Each of them once, as far as Redis remembers; a
 * Redis that lost that, and so the memory of erasures, has it back afterwards.
 */
export function createEraseLateCopies(deps: {
  s3: S3Client
  bucket: string
  records: UploadRecords
  eraseUpload: EraseUpload
  log: Logger
}) {
  const { s3, bucket, records, eraseUpload, log } = deps

  /**
   * @param onPage is called now and then, and may throw to end the run
   * @param nowMs ms since 1970
   * @returns how many uploads were erased once more
   */
  return async function eraseLateCopies(
    onPage: () => Promise<void>,
    nowMs: number = Date.now(),
  ): Promise<number> {
    let repeated = 0
    for await (const page of paginateListObjectsV2(
      { client: s3 },
      { Bucket: bucket, Prefix: erasedPrefix },
    )) {
      await onPage()
      const due = (page.Contents ?? []).flatMap(({ Key = '', LastModified: toldAt }) => {
        const address = parseErasureKey(Key)
        return address && toldAt && toldAt.getTime() + secondLookAfterMs <= nowMs ? [address] : []
      })
      const isConfirmed = await Promise.all(due.map(records.isErasureConfirmed))
      for (const address of due.filter((_, i) => !isConfirmed[i])) {
        await onPage()
        try {
          await eraseUpload(address)
          await records.confirmErasure(address)
          repeated += 1
        } catch (error) {
          log.warn(
            { err: error, event: 'erasure-failed', uploadId: address.id },
            'comes again with the next run',
          )
        }
      }
    }
    return repeated
  }
}

export type EraseLateCopies = ReturnType<typeof createEraseLateCopies>
