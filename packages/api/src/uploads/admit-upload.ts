import type { AbortMultipartUploads } from '@millrace/shared/ledger/abort-multipart-uploads.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { PartPlan } from '@millrace/shared/ledger/part-plan.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { RedisMemory } from '@millrace/shared/service/redis-memory.ts'
import { memoryBudget } from '@millrace/shared/uploads/memory-budget.ts'
import type { OpenMultipart, Upload, UploadIntent } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import type { CheckIntent } from './check-intent.ts'
import type { MultipartUploads } from './multipart-uploads.ts'

/** An upload with a record. It expires if its bytes have not arrived by `expiresAt` (ISO 8601). */
export type AdmittedUpload = Upload & { state: 'awaiting'; expiresAt: string }

/** The options that differ between the ways to send a file. */
export type Admission<Result> = {
  /** A new id by default. tus makes it earlier, because it locks the upload first. */
  id?: string
  /** How long the upload lasts without bytes, in ms since the time in the id. */
  lifeMs: number
  /** Opens a multipart upload in S3 for these parts. Without it the file is sent in one piece. */
  plan?: PartPlan | undefined
  /** Returns additional fields of the record. By default the multipart upload, if one was opened. */
  recordFields?: (multipart: OpenMultipart | undefined) => Pick<Upload, 'multipart' | 'source' | 'tus'>
  /** The rest of the admission, called once the record exists. If it rejects, the admission is undone. */
  begin: (upload: AdmittedUpload) => Promise<Result>
}

/** A step that undoes a part of an admission. `name` is written to the log. */
type UndoStep = { name: string; run: () => Promise<void> }

/**
 * Admits files, whichever way they are sent:
 *
 * check the intent → check Redis' memory → reserve quota → open a multipart upload in S3, if there is a plan → write the record →
 * `begin`
 *
 * A failure at any step undoes all steps. A step that failed is undone too, because Redis or S3 may have
 * executed it although the response was lost. If the process dies in between, the record, the reservation and
 * the multipart upload expire.
 */
export function createAdmitUpload(deps: {
  redisMemory: RedisMemory
  records: UploadRecords
  checkIntent: CheckIntent
  quota: Quota
  multipartUploads: Pick<MultipartUploads, 'open'>
  abortMultipartUploads: AbortMultipartUploads
  log: Pick<Logger, 'warn'>
}) {
  const { redisMemory, records, checkIntent, quota, multipartUploads, abortMultipartUploads, log } = deps

  /**
   * Admits a file of `intent.size` bytes for an owner.
   *
   * @returns the result of `begin`
   * @throws AppError `upload_too_large`, `preset_unknown`, `invalid_request` if name and metadata are too
   *   long, `storage_busy`, `quota_exceeded` or `quota_exhausted_today`; and whatever `begin` throws
   */
  return async function admitUpload<Result>(
    owner: string,
    intent: UploadIntent,
    { id = newUploadId(), lifeMs, plan, recordFields = multipartField, begin }: Admission<Result>,
  ): Promise<Result> {
    checkIntent(intent)
    if ((await redisMemory.usedShare()) >= memoryBudget.refuseUploads) throw new AppError('storage_busy')
    const address = { owner, id }
    const createdAtMs = uploadIdTimeMs(id)
    const expiresAtMs = createdAtMs + lifeMs
    const createdAt = new Date(createdAtMs).toISOString()
    const undoSteps: UndoStep[] = []
    try {
      undoSteps.push({ name: 'cancel the reservation', run: () => quota.cancel(address) })
      await quota.reserve(address, intent.size, expiresAtMs)
      let multipart: OpenMultipart | undefined
      if (plan) {
        // By key, because the multipart upload's id is unknown if S3's response was lost.
        const run = () => abortMultipartUploads(originalKey(address))
        undoSteps.push({ name: 'abort the multipart upload', run })
        multipart = await multipartUploads.open(address, intent, plan)
      }
      undoSteps.push({ name: 'delete the record', run: () => records.forget(address) })
      const upload: AdmittedUpload = {
        id,
        owner,
        state: 'awaiting',
        intent,
        ...recordFields(multipart),
        findings: {},
        variants: [],
        createdAt,
        updatedAt: createdAt,
        expiresAt: new Date(expiresAtMs).toISOString(),
      }
      await records.create(upload)
      return await begin(upload)
    } catch (error) {
      await undo(id, undoSteps)
      throw error
    }
  }

  /**
   * Runs all steps at once, so that none waits for a Redis or an S3 that does not respond. A step that fails
   * is logged rather than thrown: the client needs the first error, and the operator the upload's id.
   * Whatever the step did not delete expires.
   */
  async function undo(uploadId: string, steps: UndoStep[]): Promise<void> {
    await Promise.all(
      steps.map(async ({ name, run }) => {
        try {
          await run()
        } catch (error) {
          log.warn(
            { err: error, event: 'admission-not-undone', uploadId, step: name },
            'admission not undone',
          )
        }
      }),
    )
  }
}

export type AdmitUpload = ReturnType<typeof createAdmitUpload>

function multipartField(multipart: OpenMultipart | undefined): Pick<Upload, 'multipart'> {
  return multipart ? { multipart } : {}
}
