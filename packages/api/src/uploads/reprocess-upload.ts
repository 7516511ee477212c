import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { hasSameBytes, isFinished, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { StoredUpload, UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { checkPreset } from '../announcing/check-intent.ts'
import { tooManyWaiting } from './reprocess-outdated.ts'

/** Sends finished uploads to the workers again. */
export function createReprocessUpload(deps: {
  records: UploadRecords
  originals: Originals
  manifests: Manifests
  queue: UploadQueue
  presets: Presets
}) {
  const { records, originals, manifests, queue, presets } = deps

  /**
   * Sets a finished upload back to `received` and adds a job. Until it is finished again, nothing of it is
   * served, as for any upload that has not passed inspection.
   *
   * The job starts when no new upload waits for a worker, so reprocessing in bulk delays nobody.
   *
   * A worker compares the manifest with the preset's recipe. A `failed` upload runs again. A `ready` or
   * `rejected` one keeps its outcome if the recipe is the same, and runs again if it differs.
   *
   * The old variants stay in S3 until the new manifest was written some hours ago, then the daily sweep deletes them. Their
   * manifest is valid until the new one replaces it, and signed URLs of them may be in use.
   *
   * If Redis loses the record before the new manifest is written, the record is rebuilt from the old manifest,
   * with the old preset and outcome. The request is then lost, and the client may repeat it.
   *
   * A repeated call returns the upload while the same preset is being processed. It adds the job again if the
   * process ended after it changed the record, and before it added the job.
   *
   * @param preset replaces the preset of the upload
   * @throws AppError `preset_unknown`, `upload_not_finished`, `original_missing` if S3 has no bytes of the
   *   upload, `conflict` if S3 has other bytes, whose own event is about to arrive, `overloaded` if very many uploads wait
   *   to be processed again
   */
  return async function reprocessUpload(found: Upload, preset = found.intent.preset): Promise<Upload> {
    checkPreset(presets, preset)
    await checkRoom()
    if (found.state === 'awaiting') throw new AppError('upload_not_finished')
    const [original, manifest] = await Promise.all([originals.find(found), manifests.read(found)])
    if (!original) throw new AppError('original_missing')
    const { arrival } = original

    /** Only an upload that is processed for the first time has no manifest of its bytes. */
    const isReprocessed = manifest !== undefined && hasSameBytes(manifest.arrival, arrival)
    const stored = await records.update(found, (current) => {
      if (!current.arrival || !hasSameBytes(current.arrival, arrival)) throw new AppError('conflict')
      if (isFinished(current)) {
        const { error: _, ...rest } = current
        const intent = { ...current.intent, preset }
        // A copy in another region's bucket may have another etag. The job needs the etag of this bucket.
        return { ...rest, state: 'received', intent, arrival, findings: {}, variants: [] }
      }
      if (!isReprocessed || current.intent.preset !== preset) throw new AppError('upload_not_finished')
      return undefined
    })
    if (!stored) throw new AppError('conflict')
    if (stored.upload.state === 'received') await addJob(stored, arrival.etag)
    return stored.upload
  }

  async function checkRoom(): Promise<void> {
    if ((await queue.backfillRoom()) <= 0) throw tooManyWaiting()
  }

  async function addJob({ upload, revision }: StoredUpload, etag: string): Promise<void> {
    const { owner, id, intent } = upload
    const { traceparent } = intent
    await queue.add({ owner, id, etag, ...(traceparent && { traceparent }) }, { revision, isBackfill: true })
  }
}

export type ReprocessUpload = ReturnType<typeof createReprocessUpload>
