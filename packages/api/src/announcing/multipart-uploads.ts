import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type MultipartUpload,
  NoSuchUpload,
  paginateListParts,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import { unquoted } from '@millrace/shared/ledger/originals.ts'
import { paginateMultipartUploads } from '@millrace/shared/ledger/pages.ts'
import { type PartPlan, partBytes } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenMultipart, UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UrlSigner } from '../signing/sign-url.ts'

/** How long one part's URL is valid at most, in seconds. After that the client requests new ones. */
const partUrlLifeSeconds = 60 * 60
/** Limit of the number of parts that are signed in one request. */
export const partBatch = 100

/** S3's errors about the parts of a completion (S3 API, "CompleteMultipartUpload"). The client caused them. */
const partErrors: ReadonlySet<string> = new Set([
  'InvalidPart',
  'InvalidPartOrder',
  'EntityTooSmall',
  'EntityTooLarge',
])

/** A part as S3 has it. */
export type Part = { partNumber: number; etag: string; size: number }
/** Identifies a multipart upload in S3. */
type MultipartId = Pick<OpenMultipart, 'uploadId'>
/** A part for the client to send. */
export type PartUrl = { partNumber: number; url: string }

/**
 * Opens and completes S3's multipart uploads. The client sends the parts to signed URLs.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket of all keys
 * @param deps.signer signs the parts
 */
export function createMultipartUploads(deps: { s3: S3Client; bucket: string; signer: UrlSigner }) {
  const { s3, bucket, signer } = deps

  return {
    /** Opens a multipart upload. Its object will have the intent as object metadata. */
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

    /**
     * Finds a multipart upload that an earlier request has opened with this plan, the latest if there are several.
     * S3 does not tell the plan, so the file must be the same.
     */
    async findOpen(address: UploadAddress, plan: PartPlan): Promise<OpenMultipart | undefined> {
      const key = originalKey(address)
      let latest: MultipartUpload | undefined
      const pages = paginateMultipartUploads({ client: s3 }, { Bucket: bucket, Prefix: key })
      for await (const { Uploads = [] } of pages) {
        for (const upload of Uploads) {
          if (upload.Key === key && initiatedAtMs(upload) >= initiatedAtMs(latest)) latest = upload
        }
      }
      return latest?.UploadId === undefined ? undefined : { uploadId: latest.UploadId, ...plan }
    },

    /** Aborts a multipart upload, which deletes its parts. */
    async abort(address: UploadAddress, multipart: MultipartId): Promise<void> {
      await undefinedIfClosed(() =>
        s3.send(
          new AbortMultipartUploadCommand({
            Bucket: bucket,
            Key: originalKey(address),
            UploadId: multipart.uploadId,
          }),
        ),
      )
    },

    /**
     * Signs URLs to which the client sends these parts. Each URL accepts only the part's size. Otherwise a client could
     * store parts of up to 5 GiB, which no quota counts, until the multipart upload is aborted.
     */
    async sign(
      upload: UploadAddress & { intent: Pick<UploadIntent, 'size'> },
      multipart: OpenMultipart,
      partNumbers: number[],
    ): Promise<PartUrl[]> {
      const { uploadId } = multipart
      const { size } = upload.intent
      const key = originalKey(upload)
      const urls = await signer.signAll(
        partNumbers.map((partNumber) => ({
          method: 'PUT',
          key,
          query: { partNumber: String(partNumber), uploadId },
          headers: { 'content-length': String(partBytes(multipart, size, partNumber)) },
          expiresInSeconds: partUrlLifeSeconds,
        })),
      )
      return partNumbers.map((partNumber, index) => ({ partNumber, url: urls[index]?.url ?? '' }))
    },

    /**
     * Lists the parts that S3 has, in order.
     *
     * @returns undefined if the multipart upload is not open, or not open any more
     */
    async list(address: UploadAddress, multipart: MultipartId): Promise<Part[] | undefined> {
      const pages = paginateListParts(
        { client: s3 },
        { Bucket: bucket, Key: originalKey(address), UploadId: multipart.uploadId },
      )
      return undefinedIfClosed(async () => {
        const parts: Part[] = []
        for await (const { Parts = [], IsTruncated } of pages) {
          for (const { PartNumber, ETag, Size = 0 } of Parts) {
            if (PartNumber && ETag) parts.push({ partNumber: PartNumber, etag: unquoted(ETag), size: Size })
          }
          // S3's last page also has a marker, so the paginator would begin again
          // (https://github.com/aws/aws-sdk-go-v2/issues/1140).
          if (!IsTruncated) break
        }
        return parts
      })
    },

    /**
     * Makes one object of the parts.
     *
     * @returns `closed` if the multipart upload is not open, or not open any more; `changed` if S3 does not accept these
     *   parts, for example because a client overwrote one since they were listed
     */
    async complete(
      address: UploadAddress,
      multipart: MultipartId,
      parts: Part[],
    ): Promise<'completed' | 'closed' | 'changed'> {
      try {
        const completed = await undefinedIfClosed(() =>
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
        return completed === undefined ? 'closed' : 'completed'
      } catch (error) {
        if (error instanceof S3ServiceException && partErrors.has(error.name)) return 'changed'
        throw error
      }
    },
  }
}

export type MultipartUploads = ReturnType<typeof createMultipartUploads>

function initiatedAtMs(upload: MultipartUpload | undefined): number {
  return upload?.Initiated?.getTime() ?? 0
}

/** Returns undefined instead of rejecting if the multipart upload is not open. */
async function undefinedIfClosed<T>(send: () => Promise<T>): Promise<T | undefined> {
  try {
    return await send()
  } catch (error) {
    if (error instanceof NoSuchUpload) return undefined
    throw error
  }
}
