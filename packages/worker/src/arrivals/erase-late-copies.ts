import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { erasuresPrefix, parseErasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'

/**
 * Time from an erasure in one region to the second erasure in every region, in ms. S3 does not copy deleted objects, but
 * copies that it had already read may still arrive, and variants cause no event. S3 copies most objects within 15 minutes
 * (S3 User Guide, "Replication Time Control").
 */
const secondErasureAfterMs = 15 * 60 * 1000

/**
 * Lists the erasure markers of all regions and erases each upload here a second time. This erases copies that arrived
 * late, or everything if the event was lost. Redis records which uploads are done. If Redis lost its data, the second
 * erasure runs again and restores the erasure markers in Redis.
 */
export function createEraseLateCopies(deps: {
  s3: S3Client
  bucket: string
  records: UploadRecords
  finishErasure: FinishErasure
  log: Logger
}) {
  const { s3, bucket, records, finishErasure, log } = deps

  /**
   * @param onPage called for each page and each upload; may throw to end the run
   * @param nowMs ms since 1970
   * @returns the number of uploads that were erased a second time
   */
  return async function eraseLateCopies(
    onPage: () => Promise<void>,
    nowMs: number = Date.now(),
  ): Promise<number> {
    let erased = 0
    for await (const page of paginateListObjectsV2(
      { client: s3 },
      { Bucket: bucket, Prefix: erasuresPrefix },
    )) {
      await onPage()
      const due = (page.Contents ?? []).flatMap(({ Key = '', LastModified: markedAt }) => {
        const address = parseErasureKey(Key)
        return address && markedAt && markedAt.getTime() + secondErasureAfterMs <= nowMs ? [address] : []
      })
      const isConfirmed = await Promise.all(due.map(records.isErasureConfirmed))
      for (const address of due.filter((_, i) => !isConfirmed[i])) {
        await onPage()
        try {
          await finishErasure(address)
          await records.confirmErasure(address)
          erased += 1
        } catch (error) {
          log.warn(
            { err: error, event: 'erasure-failed', uploadId: address.id },
            'second erasure failed, the next run retries it',
          )
        }
      }
    }
    return erased
  }
}

export type EraseLateCopies = ReturnType<typeof createEraseLateCopies>
