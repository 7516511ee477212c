import type { FinishedUploads } from '@millrace/shared/fleet/finished-uploads.ts'
import type { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import { canChange, type Manifest, type Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import { variantVersion } from '@millrace/shared/ledger/variant-version.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { recordArrival } from '@millrace/shared/lifecycle/upload-truth.ts'
import type { Preset, Presets } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { type Arrival, hasSameBytes, type Upload, type Variant } from '@millrace/shared/uploads/upload.ts'
import type { PublishProgress } from '@millrace/shared/uploads/upload-progress.ts'
import type { StoredUpload, UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import { type FinishUpload, isRejection, type Outcome } from './finish-upload.ts'
import { followProgress } from './follow-progress.ts'
import type { InspectFile } from './inspect-file.ts'
import type { createOriginalReader, OpenedOriginal } from './read-original.ts'
import { createReport, type Report } from './report.ts'
import type { TellReceived } from './tell-received.ts'

/** What a handler gets besides the payload. */
export type Attempt = {
  log: Logger
  /** Aborts the attempt; the job is handed back. */
  signal: AbortSignal
  report: Report
}

/** An upload whose current bytes are those of the job, according to Redis and S3 when the job started. */
type ArrivedUpload = StoredUpload & {
  arrival: Arrival
  /** Whether nobody has worked on these bytes: S3 had no manifest of them when the record was checked. */
  isFresh: boolean
}

/**
 * Creates the handler of `process-upload` jobs. It inspects one upload's bytes and renders the variants.
 *
 * find → tell that it was received → read → inspect → decode once → render → write variants → write manifest → update the record
 *
 * After a crash at any point, the next attempt repairs everything: it writes the same variants again, and the manifest is
 * written last. Variants of other bytes and of other recipes have other keys, so attempts do not overwrite each other's.
 *
 * @param deps.finishedUploads counts outcomes for the fleet's history
 * @param deps.tools versions of what processes every file, by name
 */
export function createProcessUpload(deps: {
  lookup: UploadLookup
  records: UploadRecords
  originals: Originals
  manifests: Manifests
  presets: Presets
  openOriginal: ReturnType<typeof createOriginalReader>
  inspectFile: InspectFile
  finishUpload: FinishUpload
  finishedUploads: Pick<FinishedUploads, 'add'>
  tellReceived: TellReceived
  isErased: IsErased
  finishErasure: FinishErasure
  publishProgress: PublishProgress
  tools: Record<string, string>
}) {
  const { lookup, records, originals, manifests, presets, inspectFile, finishUpload } = deps

  /** @throws any error: an AppError that is not retryable fails the upload, all others are retried */
  return async function processUpload(job: ProcessUploadJob, attempt: Attempt): Promise<void> {
    const { log, report } = attempt
    const found = await report.measure('find', () => findArrivedUpload(job, report))
    if (!found) {
      // An earlier attempt may have written variants after the upload was erased.
      if (await deps.isErased(job)) await deps.finishErasure(job)
      return logReplaced(log)
    }
    const progress = follow(found)
    if (progress) report.onReached(progress.reach)
    try {
      await processArrived(job, found, attempt)
    } finally {
      progress?.end()
    }
  }

  /** A finished record stays finished until its manifest was checked. No progress is shown of it. */
  function follow({ upload, revision }: ArrivedUpload) {
    if (upload.state !== 'processing') return undefined
    return followProgress({ publish: (step) => deps.publishProgress(upload, revision, step) })
  }

  async function processArrived(
    job: ProcessUploadJob,
    { upload, arrival, isFresh }: ArrivedUpload,
    attempt: Attempt,
  ): Promise<void> {
    const { log, signal, report } = attempt
    report.reach({ step: 'inspecting' })
    const [stored, opened] = await report.measure('open', () =>
      Promise.all([
        // Writing the manifest shows if there is one after all.
        isFresh ? undefined : manifests.readStored(job),
        deps.openOriginal(job, { etag: job.etag, versionId: arrival.versionId, signal }),
      ]),
    )
    const manifest = stored?.content
    if (manifest && isUpToDate(manifest, upload, arrival)) {
      opened?.destroy()
      // The same bytes sent again are another version. The manifest must name the version that S3 has.
      if (manifest.arrival.versionId === arrival.versionId) await finishUpload.applyManifest(manifest)
      else await finishUpload.finish(upload, arrival, outcomeOf(manifest), stored)
      log.info({ event: 'already-processed', outcome: manifest.outcome }, 'already processed')
      return
    }
    if (!opened) return logReplaced(log)
    const result = await processBytes({ upload, arrival }, opened, attempt).finally(() => opened.destroy())
    report.reach({ step: 'publishing' })
    const finished = await report.measure('settle', () =>
      finishUpload.finish(upload, arrival, result, stored),
    )
    report.settle(result.outcome)
    log.info(
      {
        event: 'processed',
        outcome: result.outcome,
        ...(result.error && { code: result.error.code }),
        detectedType: result.findings.detectedType,
        bytes: arrival.size,
        variants: result.variants.length,
        ms: report.durations(),
      },
      'processed',
    )
    // Ignored: the count is for the operator only.
    deps.finishedUploads.add({ outcome: result.outcome, bytes: arrival.size }).catch(() => undefined)
    if (!finished) await processNewerBytes(job, attempt)
  }

  /**
   * Processes the newer bytes again. They arrived while the job's bytes were processed, and their own job may have run at
   * the same time. Then this job has replaced the manifest of the newer bytes by its own.
   */
  async function processNewerBytes(job: ProcessUploadJob, attempt: Attempt): Promise<void> {
    const stored = await lookup.find(job)
    const { arrival } = stored?.upload ?? {}
    if (!stored || !arrival) return
    const { etag, versionId } = arrival
    const opened = await deps.openOriginal(job, { etag, versionId, signal: attempt.signal })
    if (!opened) return logReplaced(attempt.log)
    const again = { ...attempt, report: createReport() }
    const arrived = { upload: stored.upload, arrival }
    const result = await processBytes(arrived, opened, again).finally(() => opened.destroy())
    const settled = await finishUpload.finish(stored.upload, arrival, result, await manifests.readStored(job))
    attempt.log.info(
      { event: 'processed-again', outcome: result.outcome, settled: settled !== undefined },
      'newer bytes processed',
    )
    if (!settled) throw new AppError('conflict')
  }

  /** @returns undefined if the original was deleted or replaced by other bytes */
  async function findArrivedUpload(
    job: ProcessUploadJob,
    report: Report,
  ): Promise<ArrivedUpload | undefined> {
    const stored = await lookup.find(job)
    if (!stored) return undefined
    let arrival = stored.upload.arrival
    if (arrival?.etag !== job.etag) {
      // Redis may have lost the arrival but not the job.
      const original = await originals.find(job)
      if (original?.arrival.etag !== job.etag) return undefined
      arrival = original.arrival
    }
    const jobArrival = arrival
    if (!isStarted(stored.upload, arrival)) await deps.tellReceived(stored.upload, arrival)
    const updated = await records.update(job, (current) => toProcessing(current, jobArrival), {
      found: stored,
    })
    const isFresh = stored.upload.state === 'received' && stored.upload.arrival?.etag === job.etag
    // In any other state, an attempt before this one has begun.
    if (isFresh) report.wasReceivedAt(stored.upload.updatedAt)
    return { ...(updated ?? stored), arrival, isFresh }
  }

  /** Inspects one file. @returns the outcome, which is not written yet */
  async function processBytes(
    { upload, arrival }: Pick<ArrivedUpload, 'upload' | 'arrival'>,
    opened: OpenedOriginal,
    { log, signal, report }: Attempt,
  ): Promise<Outcome> {
    report.addTools(deps.tools)
    const preset = presets.get(upload.intent.preset)
    if (!preset) throw new AppError('preset_unknown')
    const recipe = recipeVersion(preset, upload.intent.metadata)
    const { findings } = report
    try {
      const variants = inPresetOrder(
        preset,
        await inspectFile(
          { upload, arrival, variantVersion: variantVersion(arrival, recipe) },
          preset,
          opened,
          report,
          signal,
        ),
      )
      return { outcome: 'ready', recipe, findings, variants, evidence: report.evidence() }
    } catch (error) {
      if (!isRejection(error)) throw error
      const cause = error.cause instanceof Error ? error.cause.message : undefined
      log.info({ event: 'rejected', code: error.code, cause }, error.message)
      const { code, message } = error
      const evidence = report.evidence()
      return { outcome: 'rejected', recipe, findings, variants: [], error: { code, message }, evidence }
    }
  }

  /** Whether the manifest describes these bytes and was made with the current recipe. */
  function isUpToDate(manifest: Manifest, upload: Upload, arrival: Arrival): boolean {
    const preset = presets.get(upload.intent.preset)
    return (
      !canChange(manifest) &&
      hasSameBytes(manifest.arrival, arrival) &&
      preset !== undefined &&
      manifest.recipe === recipeVersion(preset, upload.intent.metadata)
    )
  }
}

export type ProcessUpload = ReturnType<typeof createProcessUpload>

function outcomeOf({ outcome, recipe, findings, variants, error, evidence }: Manifest): Outcome {
  return { outcome, recipe, findings, variants, ...(error && { error }), ...(evidence && { evidence }) }
}

function logReplaced(log: Logger): void {
  log.info({ event: 'superseded' }, 'the bytes of this job were replaced or deleted')
}

/** Whether a worker has started to process these bytes before, according to the record. */
function isStarted({ state, arrival }: Upload, { etag }: Arrival): boolean {
  return arrival?.etag === etag && state !== 'awaiting' && state !== 'received'
}

/** Returns the record with the state `processing`, or undefined if it must not change. */
function toProcessing(current: Upload, arrival: Arrival): Upload | undefined {
  const arrived = current.arrival?.etag === arrival.etag ? current : recordArrival(current, arrival)
  if (!arrived || arrived.state === 'processing') return undefined
  // A finished record stays finished until the manifest was checked.
  if (arrived.state === 'ready' || arrived.state === 'rejected') return undefined
  const { error: _, ...rest } = arrived
  return { ...rest, state: 'processing' }
}

/** Sorts variants by their order in the preset. They are rendered largest first. */
function inPresetOrder({ variants: recipes }: Preset, variants: Variant[]): Variant[] {
  return recipes.flatMap(({ name }) => variants.filter((variant) => variant.name === name))
}
