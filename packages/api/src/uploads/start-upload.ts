import { formLimitBytes, planParts } from '@millrace/shared/ledger/part-plan.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { FormSigner, SignedForm } from '../signing/sign-form.ts'
import type { AnnounceUpload } from './announce-upload.ts'
import { type MultipartUploads, type PartUrl, partBatch } from './multipart-uploads.ts'

/** How the client sends the bytes. */
export type Transport =
  | SignedForm
  | { kind: 'multipart'; partSize: number; partCount: number; parts: PartUrl[] }

/** An upload that was taken down. Its bytes are awaited until `expiresAt` (ISO 8601). */
export type StartedUpload = { id: string; state: 'awaiting'; expiresAt: string; transport: Transport }

/** Takes an announced file down and says how to send it. */
export function createStartUpload(deps: {
  announceUpload: AnnounceUpload
  signForm: FormSigner
  multipartUploads: MultipartUploads
}) {
  const { announceUpload, signForm, multipartUploads } = deps

  /** @throws AppError as `announceUpload` does */
  return async function startUpload(owner: string, intent: UploadIntent): Promise<StartedUpload> {
    const plan = intent.size <= formLimitBytes ? undefined : planParts(intent.size)
    const { id, state, expiresAt, multipart } = await announceUpload(owner, intent, plan)
    const address = { owner, id }
    if (!multipart) return { id, state, expiresAt, transport: await signForm(address, intent) }
    const { partSize, partCount } = multipart
    const firstParts = Array.from({ length: Math.min(partCount, partBatch) }, (_, index) => index + 1)
    const parts = await multipartUploads.sign(address, multipart, firstParts)
    return { id, state, expiresAt, transport: { kind: 'multipart', partSize, partCount, parts } }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>
