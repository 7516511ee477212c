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

/** How many uploads are put right at once. */
const repairsAtOnce = 16

type Listed = { address: UploadAddress; lastModifiedMs: number }

/**
 * Finds what nobody told us of, by S3 alone: originals that have no manifest, or one that is older than
 * themselves. Each is received as if its event had just come, and where BullMQ had given its job up, the job
 * starts over. So an upload ends also when its event was lost, when Redis lost everything, or when S3
 * was away for longer than a job is tried.
 *
 * @param deps.graceMs leaves out originals younger than this, whose event is on its way, in milliseconds
 * @param deps.minCopyAgeMs leaves copies that are younger than this to the region where they were uploaded, in milliseconds
 *   since then
 */
export function createReconcile(deps: {
  s3: S3Client
  bucket: string
  receiveUpload: ReceiveUpload
  queue: UploadQueue
  graceMs: number
  minCopyAgeMs: number
  log: Logger
}) {
  const { s3, bucket, receiveUpload, queue, graceMs, minCopyAgeMs, log } = deps

  /**
   * @param onPage is called now and then, and may throw to end the run
   * @returns how many originals were seen, and how many of them were received
   */
  return async function reconcile(onPage: () => Promise<void>): Promise<{ seen: number; received: number }> {
    const manifests = list(manifestsPrefix, parseManifestKey, async () => {})
    let manifest = (await manifests.next()).value
    let seen = 0
    let received = 0
    let repairs: Promise<void>[] = []
    const settleRepairs = async () => {
      const batch = await Promise.allSettled(repairs)
      repairs = []
      for (const result of batch) {
        if (result.status === 'fulfilled') received += 1
        else log.warn({ err: result.reason, event: 'reconcile-failed' }, 'comes again with the next run')
      }
    }
    for await (const original of list(originalsPrefix, parseOriginalKey, onPage)) {
      seen += 1
      while (manifest && compare(manifest, original) < 0) manifest = (await manifests.next()).value
      const found = manifest && compare(manifest, original) === 0 ? manifest : undefined
      // S3 dates objects by the second, so the same second may be either way round.
      const isCurrent = found && found.lastModifiedMs > original.lastModifiedMs
      const ageMs = Date.now() - original.lastModifiedMs
      if (isCurrent || ageMs < graceMs) continue
      repairs.push(repair(original.address, { takesCopy: ageMs >= minCopyAgeMs }))
      if (repairs.length >= repairsAtOnce) await settleRepairs()
    }
    await settleRepairs()
    await manifests.return(undefined)
    return { seen, received }
  }

  async function repair(address: UploadAddress, how: { takesCopy: boolean }): Promise<void> {
    const stored = await receiveUpload(address, how)
    if (!stored?.upload.arrival || isFinished(stored.upload)) return
    await queue.revive({ id: address.id, etag: stored.upload.arrival.etag })
  }

  /** Goes through a prefix page by page, in the order of keys. */
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

/** The order of both listings: S3 sorts by the bytes of keys, and all of these are ASCII. */
function compare({ address: a }: Listed, { address: b }: Listed): number {
  const [left, right] = [`${a.owner}/${a.id}`, `${b.owner}/${b.id}`]
  if (left === right) return 0
  return left < right ? -1 : 1
}
