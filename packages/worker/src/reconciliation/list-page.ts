import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import { unquoted } from '@millrace/shared/ledger/originals.ts'

/** An object as a listing describes it. S3 gives its date in whole seconds. */
export type ListedObject = { key: string; lastModifiedMs: number; etag: string }

/** `lastKey`: where the next page begins; undefined after the last page. */
export type ObjectPage = { objects: ListedObject[]; lastKey: string | undefined }

/**
 * Lists one page of up to 1,000 objects, in the order of keys.
 *
 * @param page.after the key after which it begins. A key can be kept for another process, unlike S3's tokens
 */
export async function listPage(
  { s3, bucket }: { s3: S3Client; bucket: string },
  page: { prefix: string; after: string },
): Promise<ObjectPage> {
  const { Contents = [], IsTruncated } = await s3.send(
    new ListObjectsV2Command({ Bucket: bucket, Prefix: page.prefix, StartAfter: page.after }),
  )
  const objects = Contents.map(({ Key: key = '', LastModified: lastModified, ETag: etag = '' }) => ({
    key,
    lastModifiedMs: lastModified?.getTime() ?? 0,
    etag: unquoted(etag),
  }))
  return { objects, lastKey: IsTruncated ? objects.at(-1)?.key : undefined }
}
