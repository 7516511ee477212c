import { formLimitBytes, planParts } from '@millrace/shared/ledger/part-plan.ts'
import { openUploadLifeMs, type UploadIntent } from '@millrace/shared/uploads/upload.ts'
import { type FormSigner, formLifeMs, type SignedForm } from '../signing/sign-form.ts'
import type { AdmittedUpload, AdmitUpload } from './admit-upload.ts'
import { type MultipartUploads, type PartUrl, partBatch } from './multipart-uploads.ts'

/** How the client sends the bytes. */
export type Transport =
  | SignedForm
  | { kind: 'multipart'; partSize: number; partCount: number; parts: PartUrl[] }

/**
 * An admitted upload and its transport. It expires if its bytes have not arrived by `expiresAt` (ISO 8601).
 */
export type StartedUpload = { id: string; state: 'awaiting'; expiresAt: string; transport: Transport }

/** Admits announced files and signs the URLs to send them to. */
export function createStartUpload(deps: {
  admitUpload: AdmitUpload
  signForm: FormSigner
  multipartUploads: MultipartUploads
}) {
  const { admitUpload, signForm, multipartUploads } = deps

  /**
   * Admits a file that the client will send to S3: as one form up to 8 MiB, otherwise in parts.
   *
   * @throws AppError as `admitUpload` does
   */
  return async function startUpload(owner: string, intent: UploadIntent): Promise<StartedUpload> {
    const plan = intent.size <= formLimitBytes ? undefined : planParts(intent.size)
    return admitUpload(owner, intent, {
      lifeMs: plan ? openUploadLifeMs : formLifeMs,
      plan,
      async begin(upload) {
        const { id, state, expiresAt } = upload
        return { id, state, expiresAt, transport: await signTransport(upload) }
      },
    })
  }

  async function signTransport(upload: AdmittedUpload): Promise<Transport> {
    const { intent, multipart } = upload
    if (!multipart) return signForm(upload, intent)
    const { partSize, partCount } = multipart
    const firstParts = Array.from({ length: Math.min(partCount, partBatch) }, (_, index) => index + 1)
    const parts = await multipartUploads.sign(upload, multipart, firstParts)
    return { kind: 'multipart', partSize, partCount, parts }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>
