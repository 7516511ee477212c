import { hash } from 'node:crypto'
import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { variantKey } from '@millrace/shared/ledger/object-keys.ts'
import type { EncodedFormat } from '@millrace/shared/presets/preset.ts'
import type { Variant } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { RenderedVariant } from '../images/render-variants.ts'

const fileTypes = {
  webp: { extension: 'webp', contentType: 'image/webp' },
  jpeg: { extension: 'jpg', contentType: 'image/jpeg' },
  avif: { extension: 'avif', contentType: 'image/avif' },
  png: { extension: 'png', contentType: 'image/png' },
} as const satisfies Record<EncodedFormat, { extension: string; contentType: string }>

/**
 * A year, since what is under a key never changes. Not `private`, with which CloudFront caches nothing (Amazon CloudFront
 * Developer Guide, "Manage how long content stays in the cache"). Every reader needs a signed URL nevertheless, and those of
 * S3 ask for a response that is `private` (api/downloads/sign-download.ts).
 */
const variantCacheControl = 'max-age=31536000, immutable'

/**
 * Writes variants to S3. What is under a key never changes: the key names the arrival and the recipe by their version, and the
 * bytes by their hash. A second attempt that makes the same bytes overwrites the same object.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createVariantWriter({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /**
   * @param version of arrival and recipe
   * @returns the variant's entry in the manifest
   */
  return async function writeVariant(
    address: UploadAddress,
    version: string,
    { recipe, body, width, height }: RenderedVariant,
    signal: AbortSignal,
  ): Promise<Variant> {
    signal.throwIfAborted()
    const { extension, contentType } = fileTypes[recipe.format]
    const sha256 = hash('sha256', body)
    const key = variantKey(address, { version, name: recipe.name, sha256, extension })
    await s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: body,
        ContentType: contentType,
        CacheControl: variantCacheControl,
      }),
      // Empties the client's cache of middleware (see connections.ts), which is little beside rendering. An attempt that was
      // aborted, because the upload was erased or another worker has its job, must not write after that.
      { abortSignal: signal },
    )
    return { name: recipe.name, key, contentType, width, height, size: body.length, sha256 }
  }
}

export type WriteVariant = ReturnType<typeof createVariantWriter>
