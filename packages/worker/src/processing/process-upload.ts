import type { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import type { EraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import type { Manifest, Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import { recordArrival } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { acceptsType, type Preset, type Presets, recipeVersion } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import {
  type Arrival,
  type Findings,
  hasSameBytes,
  type Upload,
  type Variant,
} from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import { isImageKind } from '../images/image-kind.ts'
import { inspectImage } from '../images/inspect-image.ts'
import type { RenderIsolated } from '../images/render-isolated.ts'
import { renderVariants } from '../images/render-variants.ts'
import { type FinishUpload, isRejection, type Outcome } from './finish-upload.ts'
import type { createOriginalReader, OpenedOriginal } from './read-original.ts'
import { createStepDurations, type StepDurations } from './step-durations.ts'
import type { WriteVariant } from './write-variant.ts'

/** What a job is told besides its payload. */
export type Attempt = {
  log: Logger
  /** Ends the work where it stands; the job is handed back. */
  signal: AbortSignal
  /** The job has been lost with its worker before, so its image may be what killed it. */
  suspect: boolean
}

/** An upload whose bytes are the job's, as far as Redis and S3 knew when the job began. */
type Arrived = { upload: Upload; arrival: Arrival }

/**
 * The job: what one upload's bytes are, and what is made of them.
 *
 * find → read → inspect → decode once → render → write variants → write manifest → settle the record
 *
 * A crash at any point leaves nothing that doing it again does not put right: variants are overwritten by
 * themselves, and the manifest comes last.
 */
export function createProcessUpload(deps: {
  lookup: UploadLookup
  records: UploadRecords
  originals: Originals
  manifests: Manifests
  presets: Presets
  openOriginal: ReturnType<typeof createOriginalReader>
  writeVariant: WriteVariant
  renderIsolated: RenderIsolated
  finishUpload: FinishUpload
  eraseObjects: EraseObjects
  maxImageBytes: number
  maxImagePixels: number
}) {
  const { lookup, records, originals, manifests, presets, finishUpload } = deps

  /**
   * @throws AppError; one that is not retryable ends the upload, all others are tried again
   */
  return async function processUpload(job: ProcessUploadJob, attempt: Attempt): Promise<void> {
    const { log, signal } = attempt
    const durations = createStepDurations()
    const arrived = await durations.measure('find', () => findArrived(job))
    if (!arrived) {
      // An earlier attempt may have written variants after the upload was erased.
      if (await records.isErased(job)) await deps.eraseObjects(job)
      return superseded(log)
    }
    const { upload, arrival } = arrived
    const [finished, opened] = await durations.measure('open', () =>
      Promise.all([manifests.read(job), deps.openOriginal(job, { etag: job.etag, signal })]),
    )
    if (finished && saysAll(finished, upload, arrival)) {
      opened?.discard()
      // The same bytes, sent once more, are another version: the manifest has to speak of the one that S3 has.
      if (finished.arrival.versionId === arrival.versionId) await finishUpload.applyManifest(finished)
      else await finishUpload.finish(upload, arrival, outcomeOf(finished))
      log.info({ event: 'already-processed', outcome: finished.outcome }, 'already processed')
      return
    }
    if (!opened) return superseded(log)
    const ended = await work(upload, opened, attempt, durations).finally(() => opened.discard())
    const settled = await durations.measure('settle', () => finishUpload.finish(upload, arrival, ended))
    log.info(
      {
        event: 'processed',
        outcome: ended.outcome,
        ...(ended.error && { code: ended.error.code }),
        detectedType: ended.findings.detectedType,
        bytes: arrival.size,
        variants: ended.variants.length,
        ms: durations.all(),
      },
      'processed',
    )
    if (!settled) await processSuccessor(job, attempt)
  }

  /**
   * Other bytes arrived while these were worked on, and their job may have run at the same time: under one
   * key, its variants and these may have overwritten each other. Whoever notices does the newer ones again.
   */
  async function processSuccessor(job: ProcessUploadJob, attempt: Attempt): Promise<void> {
    const stored = await lookup.find(job)
    const { arrival } = stored?.upload ?? {}
    if (!stored || !arrival) return
    const opened = await deps.openOriginal(job, { etag: arrival.etag, signal: attempt.signal })
    if (!opened) return superseded(attempt.log)
    const durations = createStepDurations()
    const ended = await work(stored.upload, opened, attempt, durations).finally(() => opened.discard())
    const settled = await finishUpload.finish(stored.upload, arrival, ended)
    attempt.log.info({ event: 'processed-again', outcome: ended.outcome, settled }, 'newer bytes processed')
    if (!settled) throw new AppError('conflict')
  }

  /** @returns undefined where the original is gone or other bytes have taken its place */
  async function findArrived(job: ProcessUploadJob): Promise<Arrived | undefined> {
    const stored = await lookup.find(job)
    if (!stored) return undefined
    let arrival = stored.upload.arrival
    if (arrival?.etag !== job.etag) {
      // Redis may have lost the arrival and kept the job.
      const original = await originals.find(job)
      if (original?.arrival.etag !== job.etag) return undefined
      arrival = original.arrival
    }
    const known = arrival
    const updated = await records.update(job, (current) => begin(current, known))
    return { upload: updated?.upload ?? stored.upload, arrival }
  }

  /** All of the work on one file, up to what is to be said of it. */
  async function work(
    upload: Upload,
    opened: OpenedOriginal,
    attempt: Attempt,
    durations: StepDurations,
  ): Promise<Outcome> {
    const preset = presets.get(upload.intent.preset)
    if (!preset) throw new AppError('preset_unknown')
    const recipe = recipeVersion(preset)
    const findings: Findings = { ...(opened.detectedType && { detectedType: opened.detectedType }) }
    try {
      const variants = await findAndMake(upload, preset, opened, findings, attempt, durations)
      return { outcome: 'ready', recipe, findings, variants: inOrderOf(preset, variants) }
    } catch (error) {
      if (!isRejection(error)) throw error
      const told = error.cause instanceof Error ? error.cause.message : undefined
      attempt.log.info({ event: 'rejected', code: error.code, told }, error.message)
      const { code, message } = error
      return { outcome: 'rejected', recipe, findings, variants: [], error: { code, message } }
    }
  }

  /** @param findings is filled as things are found, so that a file that is rejected keeps what was */
  async function findAndMake(
    { owner, id, intent }: Upload,
    preset: Preset,
    opened: OpenedOriginal,
    findings: Findings,
    { signal, suspect }: Attempt,
    durations: StepDurations,
  ): Promise<Variant[]> {
    if (opened.size !== intent.size) {
      throw new AppError('size_mismatch', {
        message: `The file that arrived has ${opened.size} bytes; ${intent.size} were announced.`,
      })
    }
    if (!acceptsType(preset, opened.detectedType)) {
      throw new AppError('type_not_allowed', {
        message: `The file is ${opened.detectedType ?? 'of no known type'}; accepted is ${preset.accept?.join(', ')}.`,
      })
    }
    if (!isImageKind(opened.detectedType)) {
      Object.assign(findings, await durations.measure('read', () => opened.hash()))
      checkSha256(intent.declaredSha256, findings.sha256)
      return []
    }
    if (opened.size > deps.maxImageBytes) {
      throw new AppError('image_too_large', {
        message: `The image file has ${opened.size} bytes; the limit for images is ${deps.maxImageBytes}.`,
        limit: deps.maxImageBytes,
      })
    }
    const { bytes, sha256 } = await durations.measure('read', () => opened.collect())
    findings.sha256 = sha256
    checkSha256(intent.declaredSha256, sha256)
    const { detectedType: kind } = opened
    const image = await durations.measure('inspect', () =>
      inspectImage({ kind, bytes }, { maxPixels: deps.maxImagePixels }),
    )
    findings.width = image.width
    findings.height = image.height
    if (suspect) await durations.measure('quarantine', () => deps.renderIsolated(image, preset, signal))
    const writes: Promise<Variant>[] = []
    findings.placeholder = await durations.measure('render', () =>
      renderVariants(image, preset, {
        signal,
        emit: (rendered) => {
          const write = deps.writeVariant({ owner, id }, preset.name, rendered, signal)
          // Waited for below; until then a failure is not to count as unhandled.
          write.catch(() => {})
          writes.push(write)
        },
      }),
    )
    return durations.measure('write', () => Promise.all(writes))
  }

  /** Whether a manifest is of these very bytes and of what would be made of them now. */
  function saysAll(manifest: Manifest, upload: Upload, arrival: Arrival): boolean {
    const preset = presets.get(upload.intent.preset)
    return (
      manifest.outcome !== 'failed' &&
      hasSameBytes(manifest.arrival, arrival) &&
      preset !== undefined &&
      manifest.recipe === recipeVersion(preset)
    )
  }
}

export type ProcessUpload = ReturnType<typeof createProcessUpload>

function outcomeOf({ outcome, recipe, findings, variants, error }: Manifest): Outcome {
  return { outcome, recipe, findings, variants, ...(error && { error }) }
}

function superseded(log: Logger): void {
  log.info({ event: 'superseded' }, 'these bytes are no longer there')
}

/** The record of an upload that is being worked on. */
function begin(current: Upload, arrival: Arrival): Upload | undefined {
  const arrived = current.arrival?.etag === arrival.etag ? current : recordArrival(current, arrival)
  if (!arrived || arrived.state === 'processing') return undefined
  // A finished one goes on saying so until the manifest has been looked at.
  if (arrived.state === 'ready' || arrived.state === 'rejected') return undefined
  const { error: _, ...kept } = arrived
  return { ...kept, state: 'processing' }
}

function checkSha256(declared: string | undefined, found: string | undefined): void {
  if (declared === undefined || declared === found) return
  throw new AppError('checksum_mismatch', {
    message: `The file that arrived has the SHA-256 ${found}; ${declared} was announced.`,
  })
}

/** Variants are made largest first; the manifest lists them as their preset does. */
function inOrderOf({ variants: recipes }: Preset, variants: Variant[]): Variant[] {
  return recipes.flatMap(({ name }) => variants.filter((variant) => variant.name === name))
}
