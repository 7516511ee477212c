import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  NoSuchUpload,
  type S3Client,
} from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import { unquoted } from '@millrace/shared/ledger/originals.ts'
import type { PartPlan } from '@millrace/shared/ledger/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenMultipart, UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UrlSigner } from '../signing/sign-url.ts'

/** How long one part's URL is good for, in seconds. The client asks for new ones after that. */
const partUrlLifeSeconds = 60 * 60
/** How many parts are signed at once. */
export const partBatch = 100

/** A part as S3 has it. */
export type Part = { partNumber: number; etag: string; size: number }
/** A multipart upload, as far as S3 has to be told of it. */
type Named = Pick<OpenMultipart, 'uploadId'>
/** A part for the client to send. */
export type PartUrl = { partNumber: number; url: string }

/**
 * S3's multipart uploads: opened and completed by us, their parts sent by the client to signed URLs.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket of all keys
 * @param deps.signer signs the parts
 */
export function createMultipartUploads(deps: { s3: S3Client; bucket: string; signer: UrlSigner }) {
  const { s3, bucket, signer } = deps

  return {
    /** Opens a multipart upload whose object will carry the intent. */
    async open(address: UploadAddress, intent: UploadIntent, plan: PartPlan): Promise<OpenMultipart> {
      const { UploadId } = await s3.send(
        new CreateMultipartUploadCommand({
          Bucket: bucket,
          Key: originalKey(address),
          ContentType: intent.contentType,
          Metadata: toObjectMetadata(intent),
        }),
      )
      if (!UploadId) throw new AppError('dependency_unavailable')
      return { uploadId: UploadId, ...plan }
    },

    /** Signs URLs to which the client sends these parts. */
    async sign(address: UploadAddress, multipart: OpenMultipart, partNumbers: number[]): Promise<PartUrl[]> {
      const { uploadId } = multipart
      const key = originalKey(address)
      const urls = await signer.signAll(
        partNumbers.map((partNumber) => ({
          method: 'PUT',
          key,
          query: { partNumber: String(partNumber), uploadId },
          expiresInSeconds: partUrlLifeSeconds,
        })),
      )
      return partNumbers.map((partNumber, index) => ({ partNumber, url: urls[index] ?? '' }))
    },

    /**
     * The parts that S3 has, in order.
     * @returns undefined where S3 has no such multipart upload open (any more)
     */
    async list(address: UploadAddress, multipart: Named): Promise<Part[] | undefined> {
      const parts: Part[] = []
      let marker: string | undefined
      do {
        const page = await gone(
          s3.send(
            new ListPartsCommand({
              Bucket: bucket,
              Key: originalKey(address),
              UploadId: multipart.uploadId,
              PartNumberMarker: marker,
            }),
          ),
        )
        if (!page) return undefined
        for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
          if (PartNumber && ETag)
            parts.push({ partNumber: PartNumber, etag: unquoted(ETag), size: Size ?? 0 })
        }
        marker = page.IsTruncated ? page.NextPartNumberMarker : undefined
      } while (marker)
      return parts
    },

    /**
     * Makes one object of the parts.
     * @returns false where S3 has no such multipart upload open (any more)
     */
    async complete(address: UploadAddress, multipart: Named, parts: Part[]): Promise<boolean> {
      const completed = await gone(
        s3.send(
          new CompleteMultipartUploadCommand({
            Bucket: bucket,
            Key: originalKey(address),
            UploadId: multipart.uploadId,
            MultipartUpload: {
              Parts: parts.map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: etag })),
            },
          }),
        ),
      )
      return completed !== undefined
    },
  }
}

export type MultipartUploads = ReturnType<typeof createMultipartUploads>

async function gone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof NoSuchUpload) return undefined
    throw error
  }
}
