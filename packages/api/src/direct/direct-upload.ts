import { planGrowingParts, planParts } from '@millrace/shared/ledger/part-plan.ts'
import { emptyFile, putLimitBytes, type StoreOriginal } from '@millrace/shared/ledger/store-original.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import {
  type Arrival,
  openUploadLifeMs,
  type Upload,
  type UploadIntent,
} from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { CheckIntent } from '../uploads/check-intent.ts'
import type { IncomingFile } from './incoming-file.ts'

/**
 * Takes a file that comes through the API itself: announces it as `POST /uploads` does, writes it into S3 as
 * it comes, and says that it arrived.
 *
 * @param deps.maxUploadBytes the largest file taken
 */
export function createDirectUpload(deps: {
  records: UploadRecords
  checkIntent: CheckIntent
  quota: Quota
  storeOriginal: StoreOriginal
  receiveUpload: ReceiveUpload
  maxUploadBytes: number
}) {
  const { records, checkIntent, quota, storeOriginal, receiveUpload, maxUploadBytes } = deps

  /**
   * Where it fails, S3 keeps nothing of the file and the upload is forgotten.
   *
   * @param signal aborts when there is nobody left to send the rest
   * @throws AppError `upload_too_large` as soon as it is, `preset_unknown`, or `invalid_request`
   */
  return async function directUpload(
    owner: string,
    file: IncomingFile,
    signal: AbortSignal,
  ): Promise<Upload> {
    try {
      return await take(owner, file, signal)
    } catch (error) {
      file.abandon()
      throw signal.aborted ? signal.reason : error
    }
  }

  async function take(owner: string, file: IncomingFile, signal: AbortSignal): Promise<Upload> {
    const { size } = file
    if (size === 0) throw emptyFile()
    const intent = { ...file.announced, size: size ?? 0 }
    checkIntent(intent)
    const id = newUploadId()
    const address = { owner, id }
    const startedAtMs = uploadIdTimeMs(id)
    const startedAt = new Date(startedAtMs).toISOString()
    const expiresAtMs = startedAtMs + openUploadLifeMs
    // Where the size shows only at the end, its room is taken then, before the object is made.
    await quota.reserve(address, intent.size, expiresAtMs)
    const awaiting: Upload = {
      id,
      owner,
      state: 'awaiting',
      intent,
      findings: {},
      variants: [],
      createdAt: startedAt,
      updatedAt: startedAt,
      expiresAt: new Date(expiresAtMs).toISOString(),
    }
    let arrival: Arrival
    try {
      await records.create(awaiting)
      signal.throwIfAborted()
      arrival = await store(address, intent, file, { expiresAtMs, signal })
    } catch (error) {
      await records.forget(address)
      await quota.cancel(address)
      throw error
    }
    const received = await receiveUpload(address, { arrival })
    if (!received) throw new AppError('dependency_unavailable')
    return received.upload
  }

  async function store(
    address: UploadAddress,
    intent: UploadIntent,
    { bytes, size, sizeBound, confirm }: IncomingFile,
    { expiresAtMs, signal }: { expiresAtMs: number; signal: AbortSignal },
  ): Promise<Arrival> {
    if (size !== undefined && size <= putLimitBytes) {
      return storeOriginal.inOnePut(address, intent, bytes, signal)
    }
    const bound = size ?? sizeBound
    const evenBytes = bound && planParts(Math.min(bound, maxUploadBytes)).partSize
    return storeOriginal.inParts(address, intent, {
      // A file that is refused while it streams must leave its connection open for the answer.
      chunks: bytes.iterator({ destroyOnReturn: false }),
      partBytes: evenBytes ? () => evenBytes : planGrowingParts(maxUploadBytes),
      limitBytes: maxUploadBytes,
      async beforeCommit(size) {
        await confirm()
        if (intent.size !== size) await quota.reserve(address, size, expiresAtMs)
        // Before S3 tells of the object: a worker compares the object with what was announced.
        await records.update(address, (current) => ({ ...current, intent: { ...current.intent, size } }))
      },
      signal,
    })
  }
}

export type DirectUpload = ReturnType<typeof createDirectUpload>
