import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { formLifeMs } from './sign-form.ts'
import type { UrlSigner } from './sign-url.ts'

/** A PUT request that a client sends directly to S3, with these headers and the file as its body. */
export type SignedPut = { kind: 'put'; url: string; headers: Record<string, string> }

/**
 * Creates a signer of PUT requests for whole files (S3 API, "PutObject"). The signature fixes the key, the exact size, the
 * type and all metadata, as a form does. In addition, `If-None-Match: *` lets S3 refuse a second file with 412: unlike a
 * form, the request stores one version only.
 */
export function createPutSigner({ signer }: { signer: Pick<UrlSigner, 'sign'> }) {
  return async function signPut(address: UploadAddress, intent: UploadIntent): Promise<SignedPut> {
    const { contentType, size, declaredSha256 } = intent
    const headers: Record<string, string> = {
      // A signature has each run of white space as one space.
      'content-type': contentType.trim().replace(/\s+/g, ' '),
      'if-none-match': '*',
      ...(declaredSha256 && {
        'x-amz-checksum-sha256': Buffer.from(declaredSha256, 'hex').toString('base64'),
      }),
    }
    for (const [name, value] of Object.entries(toObjectMetadata(intent)))
      headers[`x-amz-meta-${name}`] = value
    const { url } = await signer.sign({
      method: 'PUT',
      key: originalKey(address),
      // HTTP clients send the length by themselves, and browsers let no page set it.
      headers: { ...headers, 'content-length': String(size) },
      expiresInSeconds: formLifeMs / 1000,
    })
    return { kind: 'put', url, headers }
  }
}

export type PutSigner = ReturnType<typeof createPutSigner>
