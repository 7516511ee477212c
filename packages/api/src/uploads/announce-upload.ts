import type { PartPlan } from '@millrace/shared/ledger/part-plan.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { openUploadLifeMs, type Upload, type UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { formLifeMs } from '../signing/sign-form.ts'
import type { CheckIntent } from './check-intent.ts'
import type { MultipartUploads } from './multipart-uploads.ts'

/** An upload that was taken down. Its bytes are awaited until `expiresAt` (ISO 8601). */
export type AnnouncedUpload = Upload & { state: 'awaiting'; expiresAt: string }

/** Takes announced files down. */
export function createAnnounceUpload(deps: {
  records: UploadRecords
  checkIntent: CheckIntent
  quota: Quota
  multipartUploads: MultipartUploads
}) {
  const { records, checkIntent, quota, multipartUploads } = deps

  /**
   * The record is kept before anything is signed: bytes never arrive unannounced.
   *
   * @param plan how the file is cut; without one it comes whole, in one form
   * @throws AppError `upload_too_large`, `preset_unknown`, `invalid_request` where the notes are too long,
   *   `quota_exceeded` or `quota_exhausted_today`
   */
  return async function announceUpload(
    owner: string,
    intent: UploadIntent,
    plan: PartPlan | undefined,
  ): Promise<AnnouncedUpload> {
    checkIntent(intent)
    const address = { owner, id: newUploadId() }
    const expiresAtMs = uploadIdTimeMs(address.id) + (plan ? openUploadLifeMs : formLifeMs)
    await quota.reserve(address, intent.size, expiresAtMs)
    try {
      return await takeDown(address, intent, plan, expiresAtMs)
    } catch (error) {
      await quota.cancel(address)
      throw error
    }
  }

  async function takeDown(
    { owner, id }: UploadAddress,
    intent: UploadIntent,
    plan: PartPlan | undefined,
    expiresAtMs: number,
  ): Promise<AnnouncedUpload> {
    const multipart = plan && (await multipartUploads.open({ owner, id }, intent, plan))
    const startedAt = new Date(uploadIdTimeMs(id)).toISOString()
    const upload: AnnouncedUpload = {
      id,
      owner,
      state: 'awaiting',
      intent,
      ...(multipart && { multipart }),
      findings: {},
      variants: [],
      createdAt: startedAt,
      updatedAt: startedAt,
      expiresAt: new Date(expiresAtMs).toISOString(),
    }
    await records.create(upload)
    return upload
  }
}

export type AnnounceUpload = ReturnType<typeof createAnnounceUpload>
