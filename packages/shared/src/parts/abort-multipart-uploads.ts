import { AbortMultipartUploadCommand, NoSuchUpload, type S3Client } from '@aws-sdk/client-s3'
import { paginateMultipartUploads } from '../ledger/pages.ts'

/**
 * Aborts multipart uploads of originals, which deletes their parts.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createAbortMultipartUploads({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** Aborts every multipart upload that is open for exactly this key. */
  return async function abortMultipartUploads(key: string): Promise<void> {
    const pages = paginateMultipartUploads({ client: s3 }, { Bucket: bucket, Prefix: key })
    for await (const { Uploads = [] } of pages) {
      for (const { Key, UploadId } of Uploads) {
        if (Key !== key || !UploadId) continue
        try {
          await s3.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }))
        } catch (error) {
          // Completed or aborted by another process meanwhile.
          if (!(error instanceof NoSuchUpload)) throw error
        }
      }
    }
  }
}

export type AbortMultipartUploads = ReturnType<typeof createAbortMultipartUploads>
