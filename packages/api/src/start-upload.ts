import type { UploadAddress } from '@millrace/shared/object-keys.ts'
import { formLimitBytes } from '@millrace/shared/part-plan.ts'
import type { Quota } from '@millrace/shared/quota.ts'
import type { UploadIntent } from '@millrace/shared/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/upload-records.ts'
import type { CheckIntent } from './check-intent.ts'
import { type MultipartUploads, multipartLifeMs, type PartUrl, partBatch } from './multipart-uploads.ts'
import { type FormSigner, formLifeMs, type SignedForm } from './sign-form.ts'

/** How the client sends the bytes. */
export type Transport =
  | SignedForm
  | { kind: 'multipart'; partSize: number; partCount: number; parts: PartUrl[] }

/** An upload that was taken down. Its bytes are awaited until `expiresAt` (ISO 8601). */
export type StartedUpload = { id: string; state: 'awaiting'; expiresAt: string; transport: Transport }

/** Takes an announced file down and says how to send it. */
export function createStartUpload(deps: {
  records: UploadRecords
  checkIntent: CheckIntent
  quota: Quota
  signForm: FormSigner
  multipartUploads: MultipartUploads
}) {
  const { records, checkIntent, quota, signForm, multipartUploads } = deps

  /**
   * The record is kept before anything is signed: bytes never arrive unannounced.
   *
   * @throws AppError `upload_too_large`, `preset_unknown`, `invalid_request` where the notes are too long,
   *   `quota_exceeded` or `quota_exhausted_today`
   */
  return async function startUpload(owner: string, intent: UploadIntent): Promise<StartedUpload> {
    checkIntent(intent)
    const address = { owner, id: newUploadId() }
    const expiresAtMs = uploadIdTimeMs(address.id) + (fitsOneForm(intent) ? formLifeMs : multipartLifeMs)
    await quota.reserve(address, intent.size, expiresAtMs)
    try {
      return await start(address, intent, expiresAtMs)
    } catch (error) {
      await quota.cancel(address)
      throw error
    }
  }

  async function start(
    address: UploadAddress,
    intent: UploadIntent,
    expiresAtMs: number,
  ): Promise<StartedUpload> {
    const { owner, id } = address
    const inOneForm = fitsOneForm(intent)
    const multipart = inOneForm ? undefined : await multipartUploads.open(address, intent)
    const startedAt = new Date(uploadIdTimeMs(id)).toISOString()
    const expiresAt = new Date(expiresAtMs).toISOString()
    await records.create({
      id,
      owner,
      state: 'awaiting',
      intent,
      ...(multipart && { multipart }),
      findings: {},
      variants: [],
      createdAt: startedAt,
      updatedAt: startedAt,
      expiresAt,
    })
    if (!multipart) return { id, state: 'awaiting', expiresAt, transport: await signForm(address, intent) }
    const { partSize, partCount } = multipart
    const firstParts = Array.from({ length: Math.min(partCount, partBatch) }, (_, index) => index + 1)
    const parts = await multipartUploads.sign(address, multipart, firstParts)
    return { id, state: 'awaiting', expiresAt, transport: { kind: 'multipart', partSize, partCount, parts } }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>

function fitsOneForm({ size }: UploadIntent): boolean {
  return size <= formLimitBytes
}
