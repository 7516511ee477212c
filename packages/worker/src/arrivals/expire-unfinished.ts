import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import type { EraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import {
  originalsPrefix,
  parseAnnouncementKey,
  parseOriginalKey,
  parseUnfinishedKey,
  unfinishedPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { paginateMultipartUploads } from '@millrace/shared/ledger/pages.ts'
import { arrivalGraceMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'

/**
 * Erases the parts, the announcements and the unfinished bytes of uploads that expired before they were complete. An
 * upload's id contains the time of its creation.
 */
export function createExpireUnfinished(deps: {
  s3: S3Client
  bucket: string
  eraseUnfinished: EraseUnfinished
}) {
  const { s3, bucket, eraseUnfinished } = deps

  /**
   * @param onPage called with each page; may throw to end the run
   * @param nowMs ms since 1970
   * @returns the number of uploads that had something to erase
   */
  return async function expireUnfinished(
    onPage: () => Promise<void>,
    nowMs: number = Date.now(),
  ): Promise<number> {
    const isExpired = ({ id }: UploadAddress) =>
      uploadIdTimeMs(id) + openUploadLifeMs + arrivalGraceMs < nowMs
    let expired = 0
    const expire = async (addresses: (UploadAddress | undefined)[]) => {
      await onPage()
      for (const address of addresses) {
        if (!address || !isExpired(address)) continue
        await eraseUnfinished(address)
        expired += 1
      }
    }
    const multipartUploads = { Bucket: bucket, Prefix: originalsPrefix }
    for await (const { Uploads = [] } of paginateMultipartUploads({ client: s3 }, multipartUploads)) {
      await expire(Uploads.map(({ Key = '' }) => parseOriginalKey(Key)))
    }
    const unfinished = { Bucket: bucket, Prefix: unfinishedPrefix }
    for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, unfinished)) {
      await expire(Contents.map(({ Key = '' }) => parseUnfinishedKey(Key) ?? parseAnnouncementKey(Key)))
    }
    return expired
  }
}

export type ExpireUnfinished = ReturnType<typeof createExpireUnfinished>
