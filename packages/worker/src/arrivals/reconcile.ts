import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import {
  manifestsPrefix,
  originalsPrefix,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Logger } from 'pino'

/** Number of uploads that are repaired at a time. */
const repairsAtOnce = 16

type Listed = { address: UploadAddress; lastModifiedMs: number }

/**
 * Finds unfinished uploads from S3 alone: originals that have no manifest, or an older one. Each is received as if its
 * event had just arrived. If its job had failed, the job restarts. So an upload is finished even if its event was lost,
 * if Redis lost all data, or if S3 was unavailable for longer than all attempts of a job take.
 *
 * @param deps.minAgeMs skips younger originals, whose event may still arrive; in ms
 * @param deps.minCopyAgeMs leaves younger copies to the region of the upload; in ms since the upload
 */
export function createReconcile(deps: {
  s3: S3Client
  bucket: string
  receiveUpload: ReceiveUpload
  queue: UploadQueue
  minAgeMs: number
  minCopyAgeMs: number
  log: Logger
}) {
  const { s3, bucket, receiveUpload, queue, minAgeMs, minCopyAgeMs, log } = deps

  /**
   * @param onPage called with each page of originals; may throw to end the run
   * @returns the number of originals in S3, and how many of them were received
   */
  return async function reconcile(onPage: () => Promise<void>): Promise<{ seen: number; received: number }> {
    const manifests = list(manifestsPrefix, parseManifestKey, async () => {})
    let manifest = (await manifests.next()).value
    let seen = 0
    let received = 0
    let repairs: Promise<void>[] = []
    const awaitRepairs = async () => {
      const batch = await Promise.allSettled(repairs)
      repairs = []
      for (const result of batch) {
        if (result.status === 'fulfilled') received += 1
        else
          log.warn(
            { err: result.reason, event: 'reconcile-failed' },
            'repair failed, the next run retries it',
          )
      }
    }
    for await (const original of list(originalsPrefix, parseOriginalKey, onPage)) {
      seen += 1
      while (manifest && compare(manifest, original) < 0) manifest = (await manifests.next()).value
      const match = manifest && compare(manifest, original) === 0 ? manifest : undefined
      // S3's times are in seconds. Within the same second, the order of both writes is unknown.
      const isCurrent = match && match.lastModifiedMs > original.lastModifiedMs
      const ageMs = Date.now() - original.lastModifiedMs
      if (isCurrent || ageMs < minAgeMs) continue
      repairs.push(repair(original.address, { takesCopy: ageMs >= minCopyAgeMs }))
      if (repairs.length >= repairsAtOnce) await awaitRepairs()
    }
    await awaitRepairs()
    await manifests.return(undefined)
    return { seen, received }
  }

  async function repair(address: UploadAddress, options: { takesCopy: boolean }): Promise<void> {
    const stored = await receiveUpload(address, options)
    if (!stored?.upload.arrival || isFinished(stored.upload)) return
    await queue.revive({ id: address.id, etag: stored.upload.arrival.etag })
  }

  /** Lists the uploads under a prefix page by page, in the order of keys. */
  async function* list(
    prefix: string,
    parse: (key: string) => UploadAddress | undefined,
    onPage: () => Promise<void>,
  ): AsyncGenerator<Listed, undefined> {
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
      await onPage()
      for (const { Key: key = '', LastModified: lastModified } of page.Contents ?? []) {
        const address = parse(key)
        if (address && lastModified) yield { address, lastModifiedMs: lastModified.getTime() }
      }
    }
    return undefined
  }
}

export type Reconcile = ReturnType<typeof createReconcile>

/** Compares in the order of both listings. S3 sorts keys by their bytes, and all of these keys are ASCII. */
function compare({ address: a }: Listed, { address: b }: Listed): number {
  const [left, right] = [`${a.owner}/${a.id}`, `${b.owner}/${b.id}`]
  if (left === right) return 0
  return left < right ? -1 : 1
}
