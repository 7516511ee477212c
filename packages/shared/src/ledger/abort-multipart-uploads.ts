import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  NoSuchUpload,
  type S3Client,
} from '@aws-sdk/client-s3'

/**
 * Lets S3 forget the parts of originals that nobody will complete.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createAbortMultipartUploads({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** Aborts every multipart upload that is open for this very key. */
  return async function abortMultipartUploads(key: string): Promise<void> {
    for await (const { Uploads = [] } of pages(key)) {
      for (const { Key, UploadId } of Uploads) {
        if (Key !== key || !UploadId) continue
        try {
          await s3.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }))
        } catch (error) {
          // Completed or aborted by somebody else in between.
          if (!(error instanceof NoSuchUpload)) throw error
        }
      }
    }
  }

  async function* pages(prefix: string): AsyncGenerator<ListMultipartUploadsCommandOutput> {
    let page: ListMultipartUploadsCommandOutput | undefined
    do {
      page = await s3.send(
        new ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: prefix,
          KeyMarker: page?.NextKeyMarker,
          UploadIdMarker: page?.NextUploadIdMarker,
        }),
      )
      yield page
    } while (page.IsTruncated)
  }
}

export type AbortMultipartUploads = ReturnType<typeof createAbortMultipartUploads>
