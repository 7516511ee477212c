import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import {
  createSigningCredentials,
  type SigningCredentials,
} from '@millrace/shared/connections/signing-credentials.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'

/**
 * How long a form is valid, in ms, unless its credentials end earlier. Even on a slow connection, a file of 8 MiB needs only
 * minutes.
 */
export const formLifeMs = 60 * 60 * 1000

/** A form that a browser sends directly to S3: the fields in this order, then the field `file`. */
export type SignedForm = { kind: 'form'; url: string; fields: Record<string, string> }

/**
 * Creates a signer of upload forms (S3 API, "POST Object"). The policy fixes the key, the exact size, the
 * type and all metadata, so S3 refuses any file that differs from the announced one.
 *
 * @param deps.s3 the client whose credentials, region and endpoint are used
 * @param deps.bucket the bucket of all keys
 * @param deps.credentials finds the client's credentials
 */
export function createFormSigner(deps: { s3: S3Client; bucket: string; credentials?: SigningCredentials }) {
  const { s3, bucket, credentials = createSigningCredentials({ s3 }) } = deps

  return async function signForm(address: UploadAddress, intent: UploadIntent): Promise<SignedForm> {
    const metadata = Object.entries(toObjectMetadata(intent)).map(([name, value]) => [
      `x-amz-meta-${name}`,
      value,
    ])
    const lifeMs = await credentials.lifeMs(formLifeMs)
    const { url, fields } = await createPresignedPost(s3, {
      Bucket: bucket,
      Key: originalKey(address),
      Expires: Math.floor(lifeMs / 1000),
      Conditions: [['content-length-range', intent.size, intent.size]],
      Fields: {
        ...Object.fromEntries(metadata),
        'Content-Type': intent.contentType,
        success_action_status: '201',
        ...(intent.declaredSha256 && {
          'x-amz-checksum-algorithm': 'SHA256',
          'x-amz-checksum-sha256': Buffer.from(intent.declaredSha256, 'hex').toString('base64'),
        }),
      },
    })
    return { kind: 'form', url, fields }
  }
}

export type FormSigner = ReturnType<typeof createFormSigner>
