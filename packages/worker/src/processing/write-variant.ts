import { createHash } from 'node:crypto'
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
 * Writes variants to S3. The key is made of the upload, the preset and the variant's name, so a second write overwrites
 * the same object.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createVariantWriter({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** @returns the variant's entry in the manifest */
  return async function writeVariant(
    address: UploadAddress,
    preset: string,
    { recipe, body, width, height }: RenderedVariant,
    signal: AbortSignal,
  ): Promise<Variant> {
    const { extension, contentType } = fileTypes[recipe.format]
    const key = variantKey(address, { preset, name: recipe.name, extension })
    await s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: body,
        ContentType: contentType,
        // Private to its owner. A signed URL names one state of the variant, so a cached response stays valid.
        CacheControl: 'private, max-age=31536000, immutable',
      }),
      { abortSignal: signal },
    )
    const sha256 = createHash('sha256').update(body).digest('hex')
    return { name: recipe.name, key, contentType, width, height, size: body.length, sha256 }
  }
}

export type WriteVariant = ReturnType<typeof createVariantWriter>
