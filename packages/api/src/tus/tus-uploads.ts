import type { EraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { planGrowingParts, planParts } from '@millrace/shared/ledger/part-plan.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { emptyFile } from '@millrace/shared/uploads/file-errors.ts'
import { openUploadLifeMs, type Upload, type UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { AdmitUpload, UploadHolder } from '../uploads/admit-upload.ts'
import type { MultipartUploads, Part } from '../uploads/multipart-uploads.ts'
import type { TusParts, Unfinished } from './tus-parts.ts'

/**
 * Longest `Upload-Metadata` that is stored, in bytes. It is base64 of at most 2 KB that S3 stores with the file, and of names
 * that Uppy adds.
 */
const metadataLimitBytes = 4096

/** The bytes of an upload that S3 has. */
export type TusProgress = {
  upload: Upload
  /** The number of bytes that S3 has, from the first byte and without a gap. */
  offset: number
  /** The parts that count. */
  parts: Part[]
  /** The highest part number in S3, even if that part does not count because its checksum did not match. */
  highestPart: number
  /** Unfinished bytes in S3, even if they do not count. */
  unfinished?: Unfinished
}

/**
 * Creates, finds and finishes tus uploads. They are admitted like any other. Their offset is read from S3, so
 * any instance can receive the next bytes. A file that fits into one part never has a multipart upload.
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
   * Admits a tus upload under the caller's id.
   *
   * @param holder who announces it
   * @param metadata `Upload-Metadata` as the client sent it
   * @throws AppError `invalid_request` if the file is empty or the metadata is too long, and as `admitUpload` does
   */
  async function create(
    holder: UploadHolder,
    id: string,
    intent: UploadIntent,
    metadata: string,
  ): Promise<TusProgress> {
    if (intent.size === 0) throw emptyFile()
    if (Buffer.byteLength(metadata) > metadataLimitBytes) {
      throw new AppError('invalid_request', {
        message: `Upload-Metadata is longer than ${metadataLimitBytes} bytes.`,
        fields: [{ field: 'upload-metadata', message: 'is too long' }],
        limit: metadataLimitBytes,
      })
    }
    const isOnePart = intent.size <= planGrowingParts(intent.size).partBytes(1)
    return admitUpload(holder, intent, {
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
   * Reads the progress of an upload. If S3 has all its bytes, but the last request ended before they became
   * an object, the upload is completed. Call it under the upload's lock.
   *
   * @throws AppError `upload_not_found`, also if the upload is not a tus upload; `upload_expired`
   */
  async function find(address: UploadAddress): Promise<TusProgress> {
    const found = await lookup.find(address)
    if (!found) throw new AppError('upload_not_found')
    const { upload } = found
    if (upload.state !== 'awaiting') return completeProgress(upload)
    if (!upload.tus) throw new AppError('upload_not_found')
    const { multipartId, trustedParts } = upload.tus
    const [storedParts, unfinished] = await Promise.all([
      multipartId === undefined ? [] : multipartUploads.list(address, { uploadId: multipartId }),
      tusParts.findUnfinished(address),
    ])
    if (!storedParts) return receiveCompleted(address)
    const parts = storedParts.slice(0, trustedParts ?? storedParts.length)
    const partsBytes = sizeOf(parts)
    const unfinishedCounts = unfinished?.partNumber === parts.length + 1
    const offset = partsBytes + (unfinishedCounts ? unfinished.size : 0)
    const highestPart = storedParts.length
    const progress = { upload, offset, parts, highestPart, ...(unfinished && { unfinished }) }
    return partsBytes === upload.intent.size ? finish(progress) : progress
  }

  /** Receives an upload whose multipart upload is not open any more, because it was completed or aborted. */
  async function receiveCompleted(address: UploadAddress): Promise<TusProgress> {
    const received = await receiveUpload(address)
    if (!received) throw new AppError('upload_expired')
    return completeProgress(received.upload)
  }

  /** Makes one object of all parts and adds its job. */
  async function finish({ upload, parts, unfinished }: TusProgress): Promise<TusProgress> {
    const multipartId = upload.tus?.multipartId
    if (multipartId !== undefined) await multipartUploads.complete(upload, { uploadId: multipartId }, parts)
    const received = await receiveUpload(upload)
    if (!received) throw new AppError('upload_not_found')
    if (unfinished) await deps.eraseUnfinished(upload)
    return completeProgress(received.upload)
  }

  return { create, find, finish }
}

export type TusUploads = ReturnType<typeof createTusUploads>

/** Returns the progress of a complete upload. */
function completeProgress(upload: Upload): TusProgress {
  return { upload, offset: upload.arrival?.size ?? upload.intent.size, parts: [], highestPart: 0 }
}

/** Returns the size of all parts together, in bytes. */
export function sizeOf(parts: Part[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0)
}
