import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { EraseUnfinished } from '@millrace/shared/erasure/erase-objects.ts'
import {
  originalsPrefix,
  parseAnnouncementKey,
  parseOriginalKey,
  parseUnfinishedKey,
  unfinishedPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { arrivalGraceMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { listPage } from './list-page.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'

/**
 * Erases the parts, the announcements and the unfinished bytes of uploads that expired before they were complete. An
 * upload's id contains the time of its creation.
 */
export function createSweepUnfinished(deps: {
  s3: S3Client
  bucket: string
  eraseUnfinished: EraseUnfinished
  run: SweepRun
}): Record<'multipart' | 'unfinished', SweepStage> {
  const { s3, bucket, eraseUnfinished, run } = deps

  async function expire(addresses: (UploadAddress | undefined)[]): Promise<void> {
    const expired = new Map<string, UploadAddress>()
    for (const address of addresses) {
      if (!address || uploadIdTimeMs(address.id) + openUploadLifeMs + arrivalGraceMs >= run.startedAtMs)
        continue
      expired.set(address.id, address)
    }
    await run.checks.correct('expired-parts', [...expired.values()], eraseUnfinished)
  }

  return {
    async *multipart(cursor) {
      let after: string | undefined = cursor
      while (after !== undefined) {
        await run.nextPage()
        // Without an id marker, the page begins at the next key: all parts of an upload are erased together.
        const { Uploads = [], IsTruncated }: ListMultipartUploadsCommandOutput = await s3.send(
          new ListMultipartUploadsCommand({
            Bucket: bucket,
            Prefix: originalsPrefix,
            KeyMarker: after || undefined,
          }),
        )
        await expire(Uploads.map(({ Key = '' }) => parseOriginalKey(Key)))
        after = IsTruncated ? Uploads.at(-1)?.Key : undefined
        if (after !== undefined) yield after
      }
    },

    async *unfinished(cursor) {
      let after: string | undefined = cursor
      while (after !== undefined) {
        await run.nextPage()
        const page = await listPage({ s3, bucket }, { prefix: unfinishedPrefix, after })
        await expire(page.objects.map(({ key }) => parseUnfinishedKey(key) ?? parseAnnouncementKey(key)))
        after = page.lastKey
        if (after !== undefined) yield after
      }
    },
  }
}
