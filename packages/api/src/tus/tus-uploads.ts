import type { EraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { planGrowingParts, planParts } from '@millrace/shared/ledger/part-plan.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { emptyFile } from '@millrace/shared/uploads/file-errors.ts'
import { openUploadLifeMs, type Upload, type UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { AdmitUpload } from '../uploads/admit-upload.ts'
import type { MultipartUploads, Part } from '../uploads/multipart-uploads.ts'
import type { TusParts, Unfinished } from './tus-parts.ts'

/** How much of an upload S3 has. */
export type TusProgress = {
  upload: Upload
  /** How many bytes of it are here, without a gap from the first. */
  offset: number
  /** The parts that count. */
  parts: Part[]
  /** The highest part number that S3 has, be it that it does not count since its checksum was not right. */
  highestPart: number
  /** Bytes beside the parts, whether they count or not. */
  unfinished?: Unfinished
}

/**
 * Uploads that come by tus: announced like any other, with how far they are told by S3 itself, so that any
 * instance can take the next bytes. A file that fits into one part never has a multipart upload.
 */
export function createTusUploads(deps: {
  lookup: UploadLookup
  admitUpload: AdmitUpload
  multipartUploads: MultipartUploads
  tusParts: TusParts
  receiveUpload: ReceiveUpload
  eraseUnfinished: EraseUnfinished
}) {
  const { lookup, admitUpload, multipartUploads, tusParts, receiveUpload } = deps

  /**
   * Admits a tus upload under an id of the caller.
   *
   * @param metadata `Upload-Metadata` as the client sent it
   * @throws AppError `invalid_request` if the file is empty, and as `admitUpload` does
   */
  async function create(
    { owner, id }: UploadAddress,
    intent: UploadIntent,
    metadata: string,
  ): Promise<TusProgress> {
    if (intent.size === 0) throw emptyFile()
    const isOnePart = intent.size <= planGrowingParts(intent.size)(1)
    return admitUpload(owner, intent, {
      id,
      lifeMs: openUploadLifeMs,
      plan: isOnePart ? undefined : planParts(intent.size),
      recordFields: (multipart) => ({
        tus: { metadata, ...(multipart && { multipartId: multipart.uploadId }) },
      }),
      begin: async (upload) => ({ upload, offset: 0, parts: [], highestPart: 0 }),
    })
  }

  /**
   * Looks how far an upload is. One whose bytes are all here, but whose last request broke off before they
   * became an object, is brought to its end. To be called under the upload's lock.
   *
   * @throws AppError `upload_not_found`, also of one that is sent in another way; `upload_expired`
   */
  async function find(address: UploadAddress): Promise<TusProgress> {
    const found = await lookup.find(address)
    if (!found) throw new AppError('upload_not_found')
    const { upload } = found
    if (upload.state !== 'awaiting') return whole(upload)
    if (!upload.tus) throw new AppError('upload_not_found')
    const { multipartId, trustedParts } = upload.tus
    const [all, unfinished] = await Promise.all([
      multipartId === undefined ? [] : multipartUploads.list(address, { uploadId: multipartId }),
      tusParts.findUnfinished(address),
    ])
    if (!all) return foundComplete(address)
    const parts = all.slice(0, trustedParts ?? all.length)
    const inParts = sizeOf(parts)
    const counts = unfinished?.partNumber === parts.length + 1
    const offset = inParts + (counts ? unfinished.size : 0)
    const progress = { upload, offset, parts, highestPart: all.length, ...(unfinished && { unfinished }) }
    return inParts === upload.intent.size ? finish(progress) : progress
  }

  /** S3 has no such multipart upload any more: somebody completed it, or it was aborted. */
  async function foundComplete(address: UploadAddress): Promise<TusProgress> {
    const received = await receiveUpload(address)
    if (!received) throw new AppError('upload_expired')
    return whole(received.upload)
  }

  /** Makes an object of parts that are all there, and hands it on to the workers. */
  async function finish({ upload, parts, unfinished }: TusProgress): Promise<TusProgress> {
    const multipartId = upload.tus?.multipartId
    if (multipartId !== undefined) await multipartUploads.complete(upload, { uploadId: multipartId }, parts)
    const received = await receiveUpload(upload)
    if (!received) throw new AppError('upload_not_found')
    if (unfinished) await deps.eraseUnfinished(upload)
    return whole(received.upload)
  }

  return { create, find, finish }
}

export type TusUploads = ReturnType<typeof createTusUploads>

function whole(upload: Upload): TusProgress {
  return { upload, offset: upload.arrival?.size ?? upload.intent.size, parts: [], highestPart: 0 }
}

/** Bytes. */
export function sizeOf(parts: Part[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0)
}
