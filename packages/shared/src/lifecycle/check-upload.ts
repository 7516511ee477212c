import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { Erasures } from '../ledger/erasures.ts'
import type { Manifests } from '../ledger/manifest.ts'
import type { Originals } from '../ledger/originals.ts'
import { AppError } from '../service/app-error.ts'
import type { Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { FinishErasure } from './finish-erasure.ts'
import { deriveUpload } from './upload-truth.ts'

/** How often a check is repeated if another process changes the record meanwhile. */
const attempts = 8

/**
 * Checks uploads against S3: reads the evidence, derives what is true (`upload-truth.ts`), and corrects the record. Then
 * the record counts as checked until Redis' next epoch.
 */
export function createCheckUpload(deps: {
  records: UploadRecords
  erasures: Erasures
  manifests: Manifests
  originals: Originals
  queue: Pick<UploadQueue, 'add'>
  finishErasure: FinishErasure
}) {
  const { records, erasures, manifests, originals, queue, finishErasure } = deps

  /**
   * @param options.takesCopy also adds a job for a copy of another region, which that region usually processes
   * @returns the upload, or undefined if it does not exist or was erased
   * @throws AppError `conflict` if other processes keep changing the record
   */
  return async function checkUpload(
    address: UploadAddress,
    { takesCopy = false }: { takesCopy?: boolean } = {},
  ): Promise<StoredUpload | undefined> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      // The record is read first. If it changes while S3 is read, it is not replaced.
      const found = await records.find(address)
      const [isErased, original, manifest] = await Promise.all([
        erasures.isMarked(address),
        originals.find(address),
        manifests.read(address),
      ])
      const truth = deriveUpload(address, { isErased, original, manifest, record: found?.upload }, Date.now())
      if (truth.kind === 'erased') {
        const isFinished = !original && !manifest && (await records.isErasureVerified(address))
        if (!isFinished) await finishErasure(address)
        return undefined
      }
      if (truth.kind === 'absent') {
        if (!found || (await records.forget(address, found))) return undefined
        continue
      }
      const stored = await putChecked(found, truth.upload)
      if (!stored) continue
      if (truth.needsJob && original && (takesCopy || !original.isCopy)) await addJob(truth.upload)
      return stored
    }
    throw new AppError('conflict')
  }

  /** @returns undefined if the record changed, or if the upload was erased meanwhile */
  async function putChecked(
    found: Parameters<UploadRecords['putChecked']>[0],
    upload: Upload,
  ): Promise<StoredUpload | undefined> {
    try {
      return await records.putChecked(found, upload)
    } catch (error) {
      if (error instanceof AppError && error.code === 'upload_not_found') return undefined
      throw error
    }
  }

  async function addJob({ owner, id, arrival, intent }: Upload): Promise<void> {
    if (!arrival) return
    const { traceparent } = intent
    await queue.add({ owner, id, etag: arrival.etag, ...(traceparent && { traceparent }) })
  }
}

export type CheckUpload = ReturnType<typeof createCheckUpload>
