import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { AbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import type { StoreOriginal } from '@millrace/shared/parts/store-original.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Arrival, Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { AdmittedUpload, AdmitUpload, UploadHolder } from '../announcing/admit-upload.ts'
import type { KeyedId } from '../announcing/idempotency-key.ts'
import { bodyLimit } from '../tenants/token-limits.ts'
import type { TokenUse } from '../tenants/token-use.ts'
import type { IncomingFile } from './incoming-file.ts'
import { directUploadLifeMs, type KeepUploadOpen } from './keep-upload-open.ts'

type DirectUploadOptions = { signal: AbortSignal; keyed?: KeyedId | undefined }

/**
 * Receives files that are sent through the API: admits the file as `POST /uploads` does, streams it into S3,
 * and records its arrival.
 *
 * @param deps.maxUploadBytes limit of a file's size, in bytes
 */
export function createDirectUpload(deps: {
  records: UploadRecords
  admitUpload: AdmitUpload
  quota: Quota
  tokenUse: Pick<TokenUse, 'reserve'>
  storeOriginal: StoreOriginal
  abortMultipartUploads: AbortMultipartUploads
  receiveUpload: ReceiveUpload
  keepUploadOpen: KeepUploadOpen
  maxUploadBytes: number
}) {
  const { records, admitUpload, quota, tokenUse, storeOriginal, abortMultipartUploads, receiveUpload } = deps
  const { keepUploadOpen, maxUploadBytes } = deps

  /**
   * Stores the file. On failure, neither bytes nor a record remain.
   *
   * @param options.signal aborts when the client can send no more of the file
   * @param options.keyed the id of the request's Idempotency-Key
   * @throws AppError `upload_too_large` as soon as the file exceeds the limit; as `admitUpload` and `storeOriginal` do
   */
  return async function directUpload(
    holder: UploadHolder,
    file: IncomingFile,
    options: DirectUploadOptions,
  ): Promise<Upload> {
    const { signal } = options
    try {
      return await admitAndStore(holder, file, options)
    } catch (error) {
      file.abandon()
      throw signal.aborted ? signal.reason : error
    }
  }

  async function admitAndStore(
    holder: UploadHolder,
    file: IncomingFile,
    { signal, keyed }: DirectUploadOptions,
  ): Promise<Upload> {
    const { size } = file
    // An unknown size is 0. Its quota is reserved at the end of the file, before S3 creates the object.
    const intent = { ...file.announced, size: size ?? 0 }
    const { address, arrival } = await admitUpload(holder, intent, {
      keyed,
      lifeMs: directUploadLifeMs,
      async begin(upload) {
        signal.throwIfAborted()
        // Parts of an earlier request, whose instance died. If it was only suspended, its next part fails.
        if (keyed?.isRepeated) await abortMultipartUploads(originalKey(upload))
        const address = { owner: holder.owner, id: upload.id }
        const arrival = await keepUploadOpen(address, () => store(upload, file, { signal, holder }))
        return { address, arrival }
      },
    })
    const received = await receiveUpload(address, { arrival })
    if (!received) throw new AppError('dependency_unavailable')
    return received.upload
  }

  async function store(
    upload: AdmittedUpload,
    { bytes, size, sizeBound, confirm }: IncomingFile,
    buffering: { signal: AbortSignal; holder: UploadHolder },
  ): Promise<Arrival> {
    const { intent } = upload
    const { caller } = buffering.holder
    if (size !== undefined) return storeOriginal.ofKnownSize(upload, intent, bytes, buffering.signal)
    return storeOriginal.ofUnknownSize(upload, intent, {
      // If the file is rejected while it streams, the connection must stay open for the response.
      chunks: bytes.iterator({ destroyOnReturn: false }),
      maxBytes: sizeBound,
      ...bodyLimit(caller, maxUploadBytes),
      async beforeCommit(size) {
        await confirm()
        if (intent.size !== size) {
          await tokenUse.reserve(caller, upload, size, Date.now() + directUploadLifeMs)
          await quota.resize(upload, { from: intent.size, to: size }, Date.now() + directUploadLifeMs)
        }
        // Before S3 publishes the object's event, because a worker compares the object with the intent.
        await records.update(upload, (current) => ({ ...current, intent: { ...current.intent, size } }))
      },
      buffering,
    })
  }
}

export type DirectUpload = ReturnType<typeof createDirectUpload>
