import { formLimitBytes, planParts } from '@millrace/shared/parts/part-plan.ts'
import { openUploadLifeMs, type UploadIntent, type UploadState } from '@millrace/shared/uploads/upload.ts'
import { type FormSigner, formLifeMs, type SignedForm } from '../signing/sign-form.ts'
import type { PutSigner, SignedPut } from '../signing/sign-put.ts'
import type { Signing } from '../signing/signing.ts'
import type { AdmittedUpload, AdmitUpload, UploadHolder } from './admit-upload.ts'
import { type KeyedId, keyedAgeMs } from './idempotency-key.ts'
import { type MultipartUploads, type PartUrl, partBatch } from './multipart-uploads.ts'

/** How the client sends the bytes. `none`: S3 has them already. */
export type Transport =
  | SignedForm
  | SignedPut
  | { kind: 'multipart'; partSize: number; partCount: number; parts: PartUrl[] }
  | { kind: 'none' }

/**
 * An admitted upload and its transport. It expires if its bytes have not arrived by `expiresAt` (ISO 8601).
 * Bytes that have arrived do not expire.
 */
export type StartedUpload = { id: string; state: UploadState; expiresAt?: string; transport: Transport }

/** Admits announced files and signs the URLs to send them to. */
export function createStartUpload(deps: {
  admitUpload: AdmitUpload
  signForm: FormSigner
  signPut: PutSigner
  signatureLifeMs: Signing['signatureLifeMs']
  multipartUploads: MultipartUploads
}) {
  const { admitUpload, signForm, signPut, signatureLifeMs, multipartUploads } = deps

  /**
   * Admits a file that the client will send to S3: up to 8 MiB in one request, otherwise in parts.
   *
   * @param options.transport of a file that is sent in one request
   * @param options.keyed the id of the request's Idempotency-Key
   * @throws AppError as `admitUpload` does
   */
  return async function startUpload(
    holder: UploadHolder,
    intent: UploadIntent,
    { transport = 'form', keyed }: { transport?: 'form' | 'put'; keyed?: KeyedId | undefined } = {},
  ): Promise<StartedUpload> {
    const plan = intent.size <= formLimitBytes ? undefined : planParts(intent.size)
    return admitUpload(holder, intent, {
      keyed,
      // A form or a PUT is signed anew, so its life starts now. Parts expire with the id (worker: `expire-unfinished`).
      lifeMs: plan ? openUploadLifeMs : keyedAgeMs(keyed) + (await signatureLifeMs(formLifeMs)),
      plan,
      async begin(upload) {
        const { id, state, expiresAt } = upload
        return { id, state, expiresAt, transport: await signTransport(upload, transport) }
      },
    })
  }

  async function signTransport(upload: AdmittedUpload, whole: 'form' | 'put'): Promise<Transport> {
    const { intent, multipart } = upload
    if (!multipart) return whole === 'put' ? signPut(upload, intent) : signForm(upload, intent)
    const { partSize, partCount } = multipart
    const firstParts = Array.from({ length: Math.min(partCount, partBatch) }, (_, index) => index + 1)
    const parts = await multipartUploads.sign(upload, multipart, firstParts)
    return { kind: 'multipart', partSize, partCount, parts }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>
