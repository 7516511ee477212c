import type { EraseUnfinished } from '@millrace/shared/erasure/erase-objects.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { planGrowingParts, planParts, unknownSizeLimitBytes } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import {
  openUploadLifeMs,
  type TusState,
  type Upload,
  type UploadIntent,
} from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { AdmitUpload, UploadHolder } from '../announcing/admit-upload.ts'
import type { MultipartUploads, Part } from '../announcing/multipart-uploads.ts'
import type { TusParts, Unfinished } from './tus-parts.ts'
import type { UnsizedUploads } from './tus-unsized.ts'

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

/** How often the offset is read again because the upload changed meanwhile. */
const readAttempts = 8

/**
 * Creates, finds and finishes tus uploads. They are admitted like any other. Their offset is read from S3, so
 * any instance can receive the next bytes. A file that fits into one part never has a multipart upload, unless its length is
 * declared later.
 */
export function createTusUploads(deps: {
  lookup: UploadLookup
  admitUpload: AdmitUpload
  multipartUploads: Pick<MultipartUploads, 'list' | 'complete' | 'abort'>
  tusParts: TusParts
  unsizedUploads: Pick<UnsizedUploads, 'begin'>
  receiveUpload: ReceiveUpload
  eraseUnfinished: EraseUnfinished
}) {
  const { lookup, admitUpload, multipartUploads, tusParts, unsizedUploads, receiveUpload } = deps

  /**
   * Admits a tus upload under the caller's id. An empty file is stored at once: its client sends nothing more.
   *
   * @param holder who announces it
   * @param announced what the client announced; without a size if its length follows later
   * @param metadata `Upload-Metadata`, normalized
   * @throws AppError as `admitUpload` and `UnsizedUploads.begin` do
   */
  async function create(
    holder: UploadHolder,
    id: string,
    announced: Omit<UploadIntent, 'size'> & { size?: number },
    metadata: string,
  ): Promise<TusProgress> {
    const { size } = announced
    const unsized = size === undefined ? unsizedUploads.begin(holder.caller) : undefined
    const isOnePart = size !== undefined && size <= planGrowingParts(size).partBytes(1)
    const intent = { ...announced, size: size ?? 0 }
    const progress = await admitUpload<TusProgress>(holder, intent, {
      id,
      lifeMs: openUploadLifeMs,
      plan: isOnePart ? undefined : planParts(size ?? unknownSizeLimitBytes),
      recordFields: (multipart) => ({
        tus: {
          metadata,
          ...(multipart && { multipartId: multipart.uploadId }),
          ...(unsized && { unsized }),
        },
      }),
      begin: async (upload) => ({ upload, offset: 0, parts: [], highestPart: 0 }),
    })
    return size === 0 ? finish(progress) : progress
  }

  /**
   * Reads the progress of an upload. If S3 has all its bytes, but the last request ended before they became
   * an object, the upload is completed. Call it under the upload's lock.
   *
   * @throws AppError `upload_not_found`, also if the upload is not a tus upload; `upload_expired`
   */
  async function find(address: UploadAddress): Promise<TusProgress> {
    const upload = await findUpload(address)
    if (upload.state !== 'awaiting') return completeProgress(upload)
    const stored = await listStored(upload)
    if (!stored) return receiveCompleted(address)
    const progress = progressOf(upload, stored)
    const { parts } = progress
    const hasAllParts = parts.length > 0 && !upload.tus.unsized && sizeOf(parts) === upload.intent.size
    return hasAllParts ? finish(progress) : progress
  }

  /**
   * Reads the progress of an upload without its lock, beside a request that may be writing. All bytes up to the offset are
   * stored, and the offset never falls below it again: everything that is read of S3 only grows, and which parts count is
   * read last, so bytes whose checksum may still fail are never told.
   *
   * @returns `isWhole`: S3 has all bytes, but the upload is not completed. Call `find` under the lock
   * @throws AppError as `find` does; `conflict` if the upload changes all the time
   */
  async function read(address: UploadAddress): Promise<TusProgress & { isWhole: boolean }> {
    let upload = await findUpload(address)
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      if (upload.state !== 'awaiting') return { ...completeProgress(upload), isWhole: false }
      const stored = await listStored(upload)
      if (!stored) return { ...(await receiveCompleted(address)), isWhole: false }
      const current = await findUpload(address)
      if (current.state === 'awaiting') {
        const progress = progressOf(current, stored)
        return { ...progress, isWhole: !current.tus.unsized && progress.offset === current.intent.size }
      }
      upload = current
    }
    throw new AppError('conflict')
  }

  /** @returns the upload, with its state of tus while it awaits bytes */
  async function findUpload(
    address: UploadAddress,
  ): Promise<(Upload & { state: 'awaiting'; tus: TusState }) | (Upload & { state: ArrivedState })> {
    const found = await lookup.find(address)
    if (!found) throw new AppError('upload_not_found')
    const { state, tus, ...rest } = found.upload
    if (state !== 'awaiting') return { ...found.upload, state }
    if (!tus) throw new AppError('upload_not_found')
    return { ...rest, state, tus }
  }

  /** Reads what S3 has of an upload. @returns undefined if its multipart upload is not open any more */
  async function listStored(upload: Upload & { tus: TusState }): Promise<Stored | undefined> {
    const { multipartId } = upload.tus
    const [storedParts, unfinished] = await Promise.all([
      multipartId === undefined ? [] : multipartUploads.list(upload, { uploadId: multipartId }),
      tusParts.findUnfinished(upload),
    ])
    return storedParts && { storedParts, unfinished }
  }

  /** Receives an upload whose multipart upload is not open any more, because it was completed or aborted. */
  async function receiveCompleted(address: UploadAddress): Promise<TusProgress> {
    const received = await receiveUpload(address)
    if (!received) throw new AppError('upload_expired')
    return completeProgress(received.upload)
  }

  /**
   * Makes one object of all parts and adds its job.
   * @throws AppError `conflict` if S3 has other parts than these: another request has replaced some
   */
  async function finish({ upload, parts, unfinished }: TusProgress): Promise<TusProgress> {
    const multipartId = upload.tus?.multipartId
    const multipart = multipartId === undefined ? undefined : { uploadId: multipartId }
    if (multipart && parts.length > 0) {
      const outcome = await multipartUploads.complete(upload, multipart, parts)
      if (outcome === 'changed') throw new AppError('conflict')
    } else if (upload.intent.size === 0) {
      // S3 completes no multipart upload without parts.
      await tusParts.putOriginal(upload, upload.intent, Buffer.alloc(0))
      if (multipart) await multipartUploads.abort(upload, multipart)
    }
    const received = await receiveUpload(upload)
    if (!received) throw new AppError('upload_not_found')
    if (unfinished) await deps.eraseUnfinished(upload)
    return completeProgress(received.upload)
  }

  return { create, find, read, finish }
}

export type TusUploads = ReturnType<typeof createTusUploads>

/** What S3 has of an upload. */
type Stored = { storedParts: Part[]; unfinished: Unfinished | undefined }

type ArrivedState = Exclude<Upload['state'], 'awaiting'>

function progressOf(upload: Upload & { tus: TusState }, { storedParts, unfinished }: Stored): TusProgress {
  const parts = storedParts.slice(0, upload.tus.trustedParts ?? storedParts.length)
  const unfinishedCounts = unfinished?.partNumber === parts.length + 1
  const offset = sizeOf(parts) + (unfinishedCounts ? unfinished.size : 0)
  return { upload, offset, parts, highestPart: storedParts.length, ...(unfinished && { unfinished }) }
}

/** Returns the progress of a complete upload. */
function completeProgress(upload: Upload): TusProgress {
  return { upload, offset: upload.arrival?.size ?? upload.intent.size, parts: [], highestPart: 0 }
}

/** Returns the size of all parts together, in bytes. */
export function sizeOf(parts: Part[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0)
}
