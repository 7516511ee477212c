import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { CheckUpload } from '@millrace/shared/lifecycle/check-upload.ts'
import { deriveUpload } from '@millrace/shared/lifecycle/upload-truth.ts'
import { openLifeMs } from '@millrace/shared/uploads/memory-budget.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { CompareIndex } from './compare-index.ts'
import { compareListings, type ListedRange, type ListedUpload } from './compare-listings.ts'
import type { ListedObject } from './list-page.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'

type WithOriginal = ListedUpload & { original: ListedObject }
type WithManifest = ListedUpload & { manifest: ListedObject }

/**
 * Compares originals, manifests and records. From the listing alone most uploads are known to be finished: their manifest
 * is newer than their original. Only these are looked at:
 *
 *   original without manifest              its job and its SQS message may be lost: checked
 *   manifest not newer than the original   S3's dates are in seconds, so the order within one second is unknown: the
 *                                          manifest is read, and the upload is checked only if it describes other bytes
 *   manifest without original              read once and reported, unless the bytes were rejected and so deleted
 *   record that is unfinished              although there is a manifest: checked
 *   listed id without object               see compare-index.ts
 *
 * A run that is completed verified all that was older than its start. The next run does not read those manifests again.
 *
 * @param deps.hasRoom whether the queue takes more jobs
 */
export function createSweepObjects(deps: {
  s3: S3Client
  bucket: string
  queue: Pick<UploadQueue, 'isPending' | 'revive'>
  hasRoom: () => Promise<boolean>
  manifests: Pick<Manifests, 'read'>
  originals: Pick<Originals, 'find'>
  records: Pick<UploadRecords, 'find'>
  checkUpload: CheckUpload
  compareIndex: CompareIndex
  run: SweepRun
}): SweepStage {
  const { s3, bucket, queue, manifests, originals, records, checkUpload, run } = deps
  const { findings, checks } = run

  return async function* sweepObjects(cursor) {
    for await (const range of compareListings({ s3, bucket, after: cursor, nextPage: run.nextPage })) {
      const { uploads } = range
      const withOriginal = uploads.filter((upload): upload is WithOriginal => upload.original !== undefined)
      const withManifest = uploads.filter((upload): upload is WithManifest => upload.manifest !== undefined)
      findings.count('originals', withOriginal.length)
      findings.count('manifests', withManifest.length)
      const unfinished = await sweepOriginals(withOriginal)
      await reportOrphans(withManifest)
      await checkRecords(withManifest.filter((upload) => !unfinished.has(upload)))
      await compareIndexes(range)
      if (range.upTo !== undefined) yield range.upTo
    }
  }

  /** @returns the uploads whose manifest describes other bytes, or could not be read */
  async function sweepOriginals(uploads: WithOriginal[]): Promise<Set<ListedUpload>> {
    const old = uploads.filter(({ original, manifest }) => {
      const isYoung = original.lastModifiedMs > run.youngAfterMs
      if (isYoung && !manifest) findings.count('young')
      return !isYoung
    })
    const withoutManifest = old.filter(({ manifest }) => !manifest)
    const unclear = old.filter(
      ({ original, manifest }) =>
        manifest &&
        manifest.lastModifiedMs <= original.lastModifiedMs &&
        original.lastModifiedMs > run.verifiedBeforeMs,
    )
    const ofOtherBytes: WithOriginal[] = []
    const unread = await checks.each(unclear, async (upload) => {
      findings.count('compared')
      if (await hasOtherBytes(upload)) ofOtherBytes.push(upload)
    })
    await finishOriginals('original-without-manifest', withoutManifest)
    await finishOriginals('original-of-other-bytes', ofOtherBytes)
    const unsettled = [...unread, ...ofOtherBytes]
    for (const { original } of unsettled) run.reportUnsettled(original.lastModifiedMs)
    return new Set(unsettled)
  }

  /**
   * Whether the manifest describes other bytes than the original, or another version: identical bytes that were sent again
   * hide the version that is served, until the lifecycle rule deletes that one. In the second of the manifest, the original
   * is taken for its version.
   */
  async function hasOtherBytes(upload: WithOriginal): Promise<boolean> {
    const manifest = await manifests.read(upload)
    const isNewer = upload.original.lastModifiedMs > (upload.manifest?.lastModifiedMs ?? 0)
    if (!manifest || (manifest.arrival.etag === upload.original.etag && !isNewer)) return false
    // A copy of another region has an etag of its own, and is identified by its version.
    const original = await originals.find(upload)
    const evidence = { isErased: false, original, manifest }
    const truth = deriveUpload(upload, evidence, run.startedAtMs)
    return truth.kind === 'upload' && truth.needsJob
  }

  /**
   * Checks unfinished originals, unless they have a job or the queue is full: to add work just when workers are behind
   * would make it worse, and their SQS messages are still there.
   */
  async function finishOriginals(
    kind: 'original-without-manifest' | 'original-of-other-bytes',
    uploads: WithOriginal[],
  ): Promise<void> {
    const isPending = await Promise.all(
      uploads.map(({ id, original }) => queue.isPending({ id, etag: original.etag })),
    )
    const withoutJob = uploads.filter((_, i) => !isPending[i])
    findings.count('waiting', uploads.length - withoutJob.length)
    // Asked once for up to 1,000 uploads. So many more than its limit do not harm the queue.
    if (withoutJob.length > 0 && !(await deps.hasRoom())) findings.count('deferred', withoutJob.length)
    else await checks.correct(kind, withoutJob, finish)
  }

  async function finish(upload: WithOriginal): Promise<void> {
    // A copy of another region, too: it is no longer young, so that region had its time.
    const stored = await checkUpload(upload, { takesCopy: true, isBackfill: true })
    if (!stored?.upload.arrival || isFinished(stored.upload)) return
    const { owner, id, arrival } = stored.upload
    await queue.revive({ owner, id, etag: arrival.etag }, { isBackfill: true })
  }

  async function reportOrphans(uploads: WithManifest[]): Promise<void> {
    const unknown = uploads.filter(({ original, manifest: { lastModifiedMs } }) => {
      return !original && lastModifiedMs <= run.youngAfterMs && lastModifiedMs > run.verifiedBeforeMs
    })
    await checks.each(unknown, async (upload) => {
      findings.count('compared')
      const manifest = await manifests.read(upload)
      // There is nothing to correct: an orphan is as finished as its manifest says.
      if (manifest && manifest.outcome !== 'rejected') findings.add('manifest-without-original', upload)
    })
  }

  /** Checks uploads that have a manifest and an old, unfinished record. An older upload cannot have such a record. */
  async function checkRecords(uploads: WithManifest[]): Promise<void> {
    const recent = uploads.filter(({ original, manifest }) => {
      const changedAtMs = Math.max(original?.lastModifiedMs ?? 0, manifest.lastModifiedMs)
      return changedAtMs > run.startedAtMs - openLifeMs
    })
    const found = await Promise.allSettled(recent.map(records.find))
    const unreadable = recent.filter((_, i) => found[i]?.status === 'rejected')
    await checks.each(unreadable, async (upload) => {
      await records.find(upload)
    })
    const unfinished = recent.filter((_, i) => {
      const result = found[i]
      const record = result?.status === 'fulfilled' ? result.value?.upload : undefined
      return record && !isFinished(record) && Date.parse(record.updatedAt) <= run.youngAfterMs
    })
    await checks.correct('unfinished-record', unfinished, (upload) =>
      checkUpload(upload, { isBackfill: true }),
    )
  }

  async function compareIndexes({ after, upTo, uploads }: ListedRange): Promise<void> {
    const [firstOwner = '', firstId] = after.split('/')
    const [lastOwner, lastId] = upTo?.split('/') ?? []
    const inS3 = new Map<string, Set<string>>()
    if (firstOwner !== '') inS3.set(firstOwner, new Set())
    for (const { owner, id } of uploads) inS3.set(owner, (inS3.get(owner) ?? new Set()).add(id))
    await deps.compareIndex(
      [...inS3].map(([owner, ids]) => ({
        owner,
        after: owner === firstOwner ? firstId : undefined,
        upTo: owner === lastOwner ? lastId : undefined,
        inS3: ids,
      })),
    )
  }
}
