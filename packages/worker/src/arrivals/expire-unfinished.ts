import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { EraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import {
  originalsPrefix,
  parseOriginalKey,
  parseUnfinishedKey,
  unfinishedPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'

/** What was begun in time may still come to its end this long after it expired, in ms. */
const graceMs = 60 * 60 * 1000

/**
 * Erases what S3 keeps of uploads that never came to their end and whose time is over: parts of multipart
 * uploads, and bytes of tus uploads beside them. An upload's id says when it was made.
 */
export function createExpireUnfinished(deps: {
  s3: S3Client
  bucket: string
  eraseUnfinished: EraseUnfinished
}) {
  const { s3, bucket, eraseUnfinished } = deps

  /**
   * @param onPage is called now and then, and may throw to end the run
   * @param nowMs ms since 1970
   * @returns how many uploads had something to erase
   */
  return async function expireUnfinished(
    onPage: () => Promise<void>,
    nowMs: number = Date.now(),
  ): Promise<number> {
    const isOver = ({ id }: UploadAddress) => uploadIdTimeMs(id) + openUploadLifeMs + graceMs < nowMs
    let expired = 0
    const expire = async (addresses: (UploadAddress | undefined)[]) => {
      await onPage()
      for (const address of addresses) {
        if (!address || !isOver(address)) continue
        await eraseUnfinished(address)
        expired += 1
      }
    }
    for await (const keys of multipartPages()) await expire(keys.map(parseOriginalKey))
    const listed = { Bucket: bucket, Prefix: unfinishedPrefix }
    for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, listed)) {
      await expire(Contents.map(({ Key = '' }) => parseUnfinishedKey(Key)))
    }
    return expired
  }

  async function* multipartPages(): AsyncGenerator<string[]> {
    let page: ListMultipartUploadsCommandOutput | undefined
    do {
      page = await s3.send(
        new ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: originalsPrefix,
          KeyMarker: page?.NextKeyMarker,
          UploadIdMarker: page?.NextUploadIdMarker,
        }),
      )
      yield (page.Uploads ?? []).map(({ Key = '' }) => Key)
    } while (page.IsTruncated)
  }
}

export type ExpireUnfinished = ReturnType<typeof createExpireUnfinished>
