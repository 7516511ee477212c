import type { RedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import type { Announcements } from '@millrace/shared/ledger/announcements.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { AbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import type { PartPlan } from '@millrace/shared/parts/part-plan.ts'
import type { AddressQuota } from '@millrace/shared/quotas/address-quota.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { memoryBudget } from '@millrace/shared/uploads/memory-budget.ts'
import type { UnfinishedUploads } from '@millrace/shared/uploads/unfinished-uploads.ts'
import type { OpenMultipart, Upload, UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import type { Caller } from '../credentials/caller.ts'
import { applyTokenLimits } from '../tenants/token-limits.ts'
import { isCounted, type TokenUse } from '../tenants/token-use.ts'
import type { CheckIntent } from './check-intent.ts'
import type { KeyedId } from './idempotency-key.ts'
import type { MultipartUploads } from './multipart-uploads.ts'
import type { NameNetworks } from './name-networks.ts'

/** An upload with a record. It expires if its bytes have not arrived by `expiresAt` (ISO 8601). */
export type AdmittedUpload = Upload & { state: 'awaiting'; expiresAt: string }

/** Who announces a file. Without a caller, it also counts to the client's address. */
export type UploadHolder = { owner: string; address?: string | undefined; caller?: Caller | undefined }

/** The options that differ between the ways to send a file. */
export type Admission<Result> = {
  /** A new id by default. tus makes it earlier, because it locks the upload first. */
  id?: string
  /** The id of the request's Idempotency-Key. An earlier request with the key may have begun the admission. */
  keyed?: KeyedId | undefined
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
 * apply the token's limits → check the intent → check Redis' memory → count it as unfinished → count it for the token →
 * reserve quota → keep the Idempotency-Key →
 * open a multipart upload in S3, if there is a plan → write the
 * record → announce the parts in S3, if the client sends them → `begin`
 *
 * A failure at any step undoes all steps. A step that failed is undone too, because Redis or S3 may have
 * executed it although the response was lost. If the process dies in between, the record, the reservation and
 * the multipart upload expire.
 *
 * With an Idempotency-Key, a request that is sent again continues an admission that died, with the same id, record
 * and multipart upload (docs/decisions/0023-let-the-upload-id-belong-to-the-key.md).
 */
export function createAdmitUpload(deps: {
  redisMemory: RedisMemory
  records: UploadRecords
  checkIntent: CheckIntent
  unfinished: UnfinishedUploads
  quota: Pick<Quota, 'reserve' | 'cancel'>
  addressQuota: AddressQuota
  tokenUse: Pick<TokenUse, 'reserve' | 'cancel'>
  nameNetworks: NameNetworks
  originals: Pick<Originals, 'find'>
  multipartUploads: Pick<MultipartUploads, 'open' | 'findOpen' | 'abort'>
  abortMultipartUploads: AbortMultipartUploads
  announcements: Pick<Announcements, 'write' | 'delete'>
  log: Pick<Logger, 'warn'>
}) {
  const {
    redisMemory,
    records,
    checkIntent,
    unfinished,
    quota,
    addressQuota,
    tokenUse,
    nameNetworks,
    originals,
    multipartUploads,
    announcements,
    abortMultipartUploads,
    log,
  } = deps

  /**
   * Admits a file of `intent.size` bytes.
   *
   * @param holder the owner of the file, the caller, and the address that counts
   * @param announced what the client announced. The upload has the intent that its token makes of it
   * @returns the result of `begin`
   * @throws AppError `token_limit`, `token_used_up`, `upload_too_large`, `preset_unknown`, `invalid_request` if name and metadata are too
   *   long, `storage_busy`, `too_many_unfinished_uploads`, `quota_exceeded` or `quota_exhausted_today`; `conflict` if the bytes of an earlier request with the same
   *   Idempotency-Key arrive meanwhile; and whatever `begin` throws
   */
  return async function admitUpload<Result>(
    { owner, address: clientAddress, caller }: UploadHolder,
    announced: UploadIntent,
    admission: Admission<Result>,
  ): Promise<Result> {
    const intent = applyTokenLimits(caller, announced)
    checkIntent(intent)
    const { keyed, lifeMs, plan, recordFields = multipartField, begin } = admission
    const id = keyed?.id ?? admission.id ?? newUploadId()
    const address = { owner, id }
    const createdAtMs = uploadIdTimeMs(id)
    const expiresAtMs = createdAtMs + lifeMs
    const createdAt = new Date(createdAtMs).toISOString()
    const earlier = keyed?.isRepeated ? (await records.find(address))?.upload : undefined
    const isFull = (await redisMemory.usedShare()) >= memoryBudget.refuseUploads
    if (isFull && !earlier) throw new AppError('storage_busy')
    const networks = nameNetworks(clientAddress)
    const undoSteps: UndoStep[] = []
    try {
      undoSteps.push({ name: 'stop counting it', run: () => unfinished.remove(address, networks) })
      await unfinished.add(address, networks, expiresAtMs)
      undoSteps.push({ name: 'stop counting it for its token', run: () => tokenUse.cancel(caller, address) })
      await tokenUse.reserve(caller, address, intent.size, expiresAtMs)
      undoSteps.push({ name: 'cancel the reservation', run: () => quota.cancel(address) })
      // A worker may know more of an import's size than its client.
      await quota.reserve(address, Math.max(intent.size, earlier?.intent.size ?? 0), expiresAtMs)
      if (!earlier) {
        const use = { bytes: intent.size, files: 1 }
        await addressQuota.reserve(networks, use, createdAtMs)
        const run = () => addressQuota.cancel(networks, use, createdAtMs)
        undoSteps.push({ name: "cancel the address' reservation", run })
      }
      await keyed?.keep()
      let multipart = earlier?.multipart
      let opened: OpenMultipart | undefined
      let isRecordedByOther = false
      if (plan && !multipart && keyed?.isRepeated) multipart = await multipartUploads.findOpen(address, plan)
      if (plan && !multipart) {
        // By key, because the multipart upload's id is unknown if S3's response was lost.
        const run = async () => {
          if (!isRecordedByOther) await abortMultipartUploads(originalKey(address))
        }
        undoSteps.push({ name: 'abort the multipart upload', run })
        opened = await multipartUploads.open(address, intent, plan)
        multipart = opened
      }
      const upload: AdmittedUpload = {
        id,
        owner,
        state: 'awaiting',
        intent,
        ...recordFields(multipart),
        ...(caller && isCounted(caller) && { token: caller.id }),
        findings: {},
        variants: [],
        createdAt,
        updatedAt: createdAt,
        expiresAt: new Date(expiresAtMs).toISOString(),
      }
      undoSteps.push({ name: 'delete the record', run: async () => void (await records.forget(address)) })
      const { upload: recorded } = await records.create(upload, { networks })
      if (recorded === upload) {
        await writeAnnouncement(upload, undoSteps)
        return await begin(upload)
      }
      // An earlier request with the key created the record, maybe only now, if its instance was suspended.
      isRecordedByOther = true
      const admitted = await extend(upload)
      if (opened && opened.uploadId !== admitted.multipart?.uploadId) {
        await multipartUploads.abort(address, opened)
      }
      await writeAnnouncement(admitted, undoSteps)
      return await begin({ ...admitted, intent })
    } catch (error) {
      if (!keyed || (await mayUndo(address, keyed))) await undo(id, undoSteps)
      throw error
    }
  }

  /**
   * Continues an admission that has a record, with a new time of expiry.
   *
   * @throws AppError `conflict` if the bytes have arrived. The request can be sent again, and then finds them
   */
  async function extend({ owner, id, expiresAt }: AdmittedUpload): Promise<AdmittedUpload> {
    const stored = await records.update({ owner, id }, (current) =>
      current.state === 'awaiting' ? { ...current, expiresAt } : undefined,
    )
    if (stored?.upload.state !== 'awaiting') throw new AppError('conflict')
    return { ...stored.upload, state: 'awaiting', expiresAt }
  }

  /** Announces a file in parts in S3: once Redis lost the record, the client can still complete it. */
  async function writeAnnouncement(upload: AdmittedUpload, undoSteps: UndoStep[]): Promise<void> {
    const { multipart } = upload
    if (!multipart) return
    undoSteps.push({ name: 'delete the announcement', run: () => announcements.delete(upload) })
    await announcements.write({ ...upload, multipart })
  }

  /**
   * Whether nothing but this request's own steps would be undone: no other request has the key by now, and no earlier
   * one has stored the bytes. In doubt the steps are kept, and expire.
   */
  async function mayUndo(address: UploadAddress, { isRepeated, isHeld }: KeyedId): Promise<boolean> {
    try {
      return (await isHeld()) && !(isRepeated && (await originals.find(address)))
    } catch (error) {
      log.warn({ err: error, event: 'admission-not-undone', uploadId: address.id }, 'admission not undone')
      return false
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
