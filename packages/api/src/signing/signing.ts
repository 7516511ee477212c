import type { S3Client } from '@aws-sdk/client-s3'
import { createSigningCredentials } from '@millrace/shared/connections/signing-credentials.ts'
import type { Logger } from 'pino'
import { type Cdn, createCdnSigner } from './sign-cdn-url.ts'
import { createFormSigner } from './sign-form.ts'
import { createPutSigner } from './sign-put.ts'
import { createUrlSigner } from './sign-url.ts'

/**
 * Composes what signs requests that clients send to S3 or to the CDN.
 *
 * @param deps.s3 has the endpoint at which clients reach S3
 */
export function createSigning(deps: {
  s3: S3Client
  bucket: string
  cdn: Cdn | undefined
  log: Pick<Logger, 'warn'>
}) {
  const { s3, bucket, cdn, log } = deps
  const credentials = createSigningCredentials({ s3, log })
  const signer = createUrlSigner({ s3, bucket, credentials })
  return {
    signer,
    signatureLifeMs: credentials.lifeMs,
    signPut: createPutSigner({ signer }),
    signForm: createFormSigner({ s3, bucket, credentials }),
    cdn: cdn && createCdnSigner(cdn),
  }
}

export type Signing = ReturnType<typeof createSigning>
