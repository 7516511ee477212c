import type { S3Client } from '@aws-sdk/client-s3'
import { erasuresPrefix, parseErasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { listPage } from './list-page.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'

/**
 * Time from an erasure to the second erasure, in ms. S3 does not copy deleted objects to other regions, but copies that it
 * had already read may still arrive, and variants cause no event. S3 copies most objects within 15 minutes (S3 User Guide,
 * "Replication Time Control"). In a single region, a worker that was suspended may write as late.
 */
const secondErasureAfterMs = 15 * 60 * 1000

/**
 * Lists the erasure markers of all regions and erases each upload here a second time. This erases objects that were
 * written late, or everything if the event was lost. Redis records which uploads are done. If Redis lost its data, the
 * second erasure runs again and restores the erasure markers in Redis.
 */
export function createSweepErasures(deps: {
  s3: S3Client
  bucket: string
  records: Pick<UploadRecords, 'isErasureConfirmed' | 'confirmErasure'>
  finishErasure: FinishErasure
  run: SweepRun
}): SweepStage {
  const { s3, bucket, records, finishErasure, run } = deps

  return async function* sweepErasures(cursor) {
    let after: string | undefined = cursor
    while (after !== undefined) {
      await run.nextPage()
      const page = await listPage({ s3, bucket }, { prefix: erasuresPrefix, after })
      const due = page.objects.flatMap(({ key, lastModifiedMs }) => {
        const address = parseErasureKey(key)
        return address && lastModifiedMs + secondErasureAfterMs <= run.startedAtMs ? [address] : []
      })
      const isConfirmed = await Promise.all(due.map(records.isErasureConfirmed))
      const unconfirmed = due.filter((_, i) => !isConfirmed[i])
      await run.checks.correct('unconfirmed-erasure', unconfirmed, async (address) => {
        await finishErasure(address)
        await records.confirmErasure(address)
      })
      after = page.lastKey
      if (after !== undefined) yield after
    }
  }
}
