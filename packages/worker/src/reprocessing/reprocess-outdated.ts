import type { S3Client } from '@aws-sdk/client-s3'
import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Edits } from '@millrace/shared/ledger/edits.ts'
import { type Manifest, type Manifests, uploadFromManifest } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { usesMetadata } from '@millrace/shared/presets/recipe-version.ts'
import { hasSameBytes, withEdit } from '@millrace/shared/uploads/upload.ts'
import { compareListings, type ListedUpload } from '../reconciliation/compare-listings.ts'
import { createPace } from '../reconciliation/pace.ts'
import type { TakeBackfillSlot } from './backfill-slots.ts'
import { type Filter, judgeManifest, type Verdict } from './outdated.ts'

/**
 * What is counted of uploads with a manifest, besides what their manifests say. `bytesMissing`: S3 has no original.
 * `bytesReplaced`: other bytes arrived, whose own job processes them. `copies`: another region processes them. `waiting`:
 * outdated ones that already have a job. `queued`: outdated ones that got one. `unreadable`: a newer version wrote the
 * manifest.
 */
export type Count =
  | Verdict
  | 'read'
  | 'bytesMissing'
  | 'bytesReplaced'
  | 'copies'
  | 'waiting'
  | 'queued'
  | 'unreadable'

export type Counts = Partial<Record<Count, number>>

type Job = { owner: string; id: string; etag: string }

/** How many manifests are read at a time. */
const atOnce = 16

/** S3 allows 5,500 reads a second for a prefix, and API and workers need most of them. */
const manifestsPerSecond = 200

/** As the sweep does: S3 takes about 0.1 s for a page. */
const pagesPerSecond = 10

/**
 * Gives jobs to uploads whose manifest was made with another recipe than their preset has now. The jobs are backfill: they
 * start when no other job waits.
 *
 * Only jobs are added; the records stay as they are. So a `ready` upload is served until the worker replaces its manifest,
 * with the old variants until the new ones overwrite them. If the job fails, the upload stays as it was.
 *
 * Nothing is kept between runs. A job that was added, and one that already waits, is not added again; an upload that was
 * processed is up to date. So a run that was interrupted may be repeated as a whole, or from its last position.
 *
 * @param deps.isReplicated whether S3 copies originals from other regions, which process them themselves
 */
export function createReprocessOutdated(deps: {
  s3: S3Client
  bucket: string
  manifests: Pick<Manifests, 'read'>
  edits: Pick<Edits, 'read'>
  originals: Pick<Originals, 'find'>
  queue: Pick<UploadQueue, 'add' | 'revive' | 'states'>
  takeBackfillSlot: TakeBackfillSlot
  presets: Presets
  isReplicated: boolean
}) {
  const { s3, bucket, manifests, edits, originals, queue, takeBackfillSlot, presets } = deps

  /**
   * @param options.owner only uploads of this owner
   * @param options.after the position after which it begins, as `owner/id`. One of another owner than `owner`, and '', are
   *   the start
   * @param options.isDryRun only counts
   * @param options.signal ends the run
   * @param options.onProgress is called with the position up to which all uploads have their jobs, and with the counts, which
   *   go on being counted: first at the start, then after some manifests
   * @throws errors of S3 and Redis, and the signal's reason
   */
  return async function reprocessOutdated(options: {
    filter: Filter
    owner: string | undefined
    after: string
    isDryRun: boolean
    signal: AbortSignal
    onProgress: (position: string, counts: Counts) => void
  }): Promise<Counts> {
    const { filter, owner, isDryRun, signal, onProgress } = options
    const counts: Counts = {}
    const nextManifest = createPace({ perSecond: manifestsPerSecond, signal })
    const nextPage = createPace({ perSecond: pagesPerSecond, signal })
    const start = owner === undefined ? '' : `${owner}/`
    const after = options.after.startsWith(start) ? options.after : start
    onProgress(options.after, counts)
    for await (const { uploads, upTo } of compareListings({ s3, bucket, after, nextPage })) {
      const finished = uploads.filter(
        (upload) => upload.manifest && (owner === undefined || upload.owner === owner),
      )
      for (let from = 0; from < finished.length; from += atOnce) {
        const batch = finished.slice(from, from + atOnce)
        await addJobs(await findOutdated(batch))
        const last = batch.at(-1)
        if (last) onProgress(`${last.owner}/${last.id}`, counts)
      }
      if (owner !== undefined && upTo !== undefined && !upTo.startsWith(start)) break
    }
    return counts

    /** Reads manifests and returns the jobs of outdated uploads. */
    async function findOutdated(batch: ListedUpload[]): Promise<Job[]> {
      const jobs = await Promise.all(
        batch.map(async (upload) => {
          await nextManifest()
          return outdatedJob(upload)
        }),
      )
      return jobs.filter((job) => job !== undefined)
    }

    async function outdatedJob(upload: ListedUpload): Promise<Job | undefined> {
      const manifest = await readManifest(upload)
      if (!manifest) return undefined
      const verdict = judgeManifest(manifest, presets, filter)
      const found = verdict === 'outdated' ? await findBytes(upload, manifest) : verdict
      if (typeof found === 'string') {
        count(found)
        return undefined
      }
      count('outdated')
      return { owner: upload.owner, id: upload.id, ...found }
    }

    async function readManifest(upload: ListedUpload): Promise<Manifest | undefined> {
      try {
        // Undefined: it was erased since it was listed.
        const manifest = await manifests.read(upload)
        if (manifest) count('read')
        return manifest && (await applyEdit(manifest))
      } catch (error) {
        if (!isUnreadable(error)) throw error
        count('unreadable')
        return undefined
      }
    }

    async function addJobs(jobs: Job[]): Promise<void> {
      if (isDryRun || jobs.length === 0) return
      const states = await queue.states(jobs)
      for (const [i, job] of jobs.entries()) {
        if (states[i] === 'queued') {
          count('waiting')
          continue
        }
        await takeBackfillSlot(signal)
        await queue.add(job, { isBackfill: true })
        if (states[i] === 'failed') await queue.revive(job, { isBackfill: true })
        count('queued')
      }
    }

    function count(name: Count): void {
      counts[name] = (counts[name] ?? 0) + 1
    }
  }

  /** Returns a manifest with the metadata that applies now, if its preset reads them. */
  async function applyEdit(manifest: Manifest): Promise<Manifest> {
    const preset = presets.get(manifest.intent.preset)
    if (!preset || !usesMetadata(preset)) return manifest
    const { intent } = withEdit(uploadFromManifest(manifest), await edits.read(manifest))
    return { ...manifest, intent }
  }

  /** @returns the etag that identifies the upload's bytes in this bucket, or why they are not processed here */
  async function findBytes(
    upload: ListedUpload,
    { arrival }: Manifest,
  ): Promise<{ etag: string } | 'bytesMissing' | 'bytesReplaced' | 'copies'> {
    if (!upload.original) return 'bytesMissing'
    const { etag } = upload.original
    if (!deps.isReplicated) return etag === arrival.etag ? { etag } : 'bytesReplaced'
    // The listing does not say which objects are copies. Under KMS, their etags differ from those of their region.
    const original = await originals.find(upload)
    if (!original) return 'bytesMissing'
    if (original.isCopy) return 'copies'
    return hasSameBytes(original.arrival, arrival) ? { etag: original.arrival.etag } : 'bytesReplaced'
  }
}

export type ReprocessOutdated = ReturnType<typeof createReprocessOutdated>
