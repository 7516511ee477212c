import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { canChange, type Manifests, rejectsBytes } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { hasSameBytes, isFinished, type Upload } from '@millrace/shared/uploads/upload.ts'
import { checkPreset } from '../announcing/check-intent.ts'

/** How many jobs a request may add. */
export type Room = { left: number }

/**
 * Gives jobs to finished uploads that failed, or were made with another recipe than their preset and metadata have now.
 *
 * Unlike `reprocess-upload.ts`, it changes no record: many uploads may wait for long, and are served as they are until a worker
 * replaces their manifests. `npm run reprocess` does the same for all owners (worker/reprocessing).
 */
export function createReprocessOutdated(deps: {
  originals: Pick<Originals, 'find'>
  manifests: Pick<Manifests, 'read'>
  queue: Pick<UploadQueue, 'add' | 'revive' | 'states'>
  presets: Presets
}) {
  const { originals, manifests, queue, presets } = deps

  /**
   * The job starts when no new upload waits for a worker. A repeated call adds no second one.
   *
   * @param room is counted down for each job that is added
   * @returns `accepted`: the upload has a job
   * @throws AppError `upload_not_finished`, `preset_unknown` if its preset is not configured any more, `original_missing`,
   *   `conflict` if S3 has other bytes, whose own job is about to be added, `overloaded` if there is no room
   */
  return async function reprocessOutdated(upload: Upload, room: Room): Promise<'accepted' | 'up_to_date'> {
    const { owner, id, intent } = upload
    if (!isFinished(upload)) throw new AppError('upload_not_finished')
    checkPreset(presets, intent.preset)
    const [original, manifest] = await Promise.all([originals.find(upload), manifests.read(upload)])
    if (!original || (manifest && rejectsBytes(manifest))) throw new AppError('original_missing')
    if (!manifest || !hasSameBytes(manifest.arrival, original.arrival)) throw new AppError('conflict')
    const preset = presets.get(intent.preset)
    const isUpToDate = preset && manifest.recipe === recipeVersion(preset, intent.metadata)
    if (isUpToDate && !canChange(manifest)) return 'up_to_date'
    const job = { owner, id, etag: original.arrival.etag }
    const [state] = await queue.states([job])
    if (state === 'queued') return 'accepted'
    if (room.left <= 0) throw tooManyWaiting()
    room.left -= 1
    await queue.add(job, { isBackfill: true })
    if (state === 'failed') await queue.revive(job, { isBackfill: true })
    return 'accepted'
  }
}

export type ReprocessOutdated = ReturnType<typeof createReprocessOutdated>

/** The error of an upload whose job finds no room. It would be in Redis only, until it starts. */
export function tooManyWaiting(): AppError {
  return new AppError('overloaded', {
    message: 'Too many uploads wait to be processed again.',
    remaining: 0,
    retryAfterSeconds: 60,
  })
}
