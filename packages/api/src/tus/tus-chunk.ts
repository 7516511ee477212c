import type { Readable } from 'node:stream'
import { planGrowingParts } from '@millrace/shared/ledger/part-plan.ts'
import { createSendParts } from '@millrace/shared/ledger/send-parts.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { tooLarge } from '@millrace/shared/uploads/file-errors.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Part } from '../uploads/multipart-uploads.ts'
import type { ChunkChecksum } from './tus-checksum.ts'
import type { TusParts } from './tus-parts.ts'
import { sizeOf, type TusProgress, type TusUploads } from './tus-uploads.ts'

/** The bytes of one request. */
export type Chunk = {
  bytes: Readable
  /** Returns why the body was interrupted, or undefined if all of it came. Call it after `bytes` ended. */
  interruption(): AppError | undefined
  checksum?: ChunkChecksum | undefined
  /** Aborts when the upload's lock is lost: from then on another request may write. */
  lost: AbortSignal
}

/**
 * Writes the bytes of tus requests to S3, as fast as S3 accepts them.
 *
 * A part always begins at the same byte and has the same size. Neither depends on the instance or on the
 * length of the client's requests. So a part that is still sent after its lock was lost has the right bytes.
 */
export function createReceiveChunk(deps: {
  records: UploadRecords
  tusUploads: TusUploads
  tusParts: TusParts
  isErased: IsErased
  finishErasure: FinishErasure
}) {
  const { records, tusUploads, tusParts, isErased, finishErasure } = deps
  const sendParts = createSendParts()

  /**
   * Stores the bytes of one request. If the request was interrupted, its bytes are still stored, unless it
   * has a checksum, which cannot match.
   *
   * @param progress from `tusUploads.find`, under the same lock
   * @returns the new offset, in bytes
   * @throws AppError the reason of an interruption, once the bytes are stored; `chunk_checksum_mismatch`,
   *   `upload_too_large`, `upload_not_found` if the upload was erased meanwhile
   */
  return async function receiveChunk(progress: TusProgress, chunk: Chunk): Promise<number> {
    const { upload } = progress
    if (upload.state !== 'awaiting') throw new AppError('upload_closed')
    try {
      return await storeChunk(progress, chunk)
    } catch (error) {
      // An erasure is recorded before it begins, so this erases objects that were written after its listing.
      if (!(await isErased(upload))) throw error
      await finishErasure(upload)
      throw new AppError('upload_not_found')
    }
  }

  async function storeChunk(progress: TusProgress, chunk: Chunk): Promise<number> {
    const { upload } = progress
    const { size } = upload.intent
    const parts = createParts(progress, chunk)
    let { offset } = progress
    const last = await sendParts({
      chunks: chunk.bytes,
      first: await firstPart(progress),
      partBytes: planGrowingParts(size),
      // The last part is sent after the request has ended, because until then it may be rejected.
      fileBytes: size,
      onChunk(bytes) {
        chunk.lost.throwIfAborted()
        if (bytes.length > size - offset) throw tooLarge(size)
        chunk.checksum?.update(bytes)
        offset += bytes.length
      },
      send: parts.send,
    })
    chunk.lost.throwIfAborted()
    const interruption = offset < size || chunk.checksum ? chunk.interruption() : undefined
    if (chunk.checksum) {
      if (interruption) throw interruption
      chunk.checksum.verify()
      await parts.trustAll()
    }
    if (offset === size) {
      await parts.send(last.partNumber, last.bytes)
      await parts.finish()
      last.release()
      return offset
    }
    if (last.bytes.length > 0 && offset > progress.offset) {
      await tusParts.putUnfinished(upload, last, chunk.lost)
    }
    last.release()
    if (await isErased(upload)) throw new AppError('upload_not_found')
    if (interruption) throw interruption
    return offset
  }

  /** Returns the part of the next byte, with the bytes of it that S3 already has. */
  async function firstPart({ upload, offset, parts }: TusProgress) {
    const partNumber = parts.length + 1
    const startBytes = sizeOf(parts)
    const unfinishedBytes = offset - startBytes
    if (unfinishedBytes === 0) return { partNumber, startBytes }
    const bytes = await tusParts.readUnfinished(upload)
    // A request that lost its lock may have replaced them meanwhile. They begin with the same bytes.
    if (bytes.length < unfinishedBytes) throw new AppError('conflict')
    return { partNumber, startBytes, bytes: bytes.subarray(0, unfinishedBytes) }
  }

  /**
   * Sends parts and records which of them count. A part cannot be deleted from S3. So until a checksum is
   * verified, the record contains the number of the last part that counts. It stays there until the other
   * parts are replaced.
   */
  function createParts({ upload, parts, highestPart, ...progress }: TusProgress, chunk: Chunk) {
    const multipartId = upload.tus?.multipartId
    const sent: Part[] = [...parts]
    let trusted = upload.tus?.trustedParts
    let isVerified = chunk.checksum === undefined

    async function trustSent(): Promise<void> {
      if (trusted !== undefined) await setTrusted(sent.length < highestPart ? sent.length : undefined)
    }

    async function setTrusted(count: number | undefined): Promise<void> {
      const changed = await records.update(upload, ({ tus, ...rest }) => {
        if (!tus) return undefined
        const { trustedParts: _, ...kept } = tus
        return { ...rest, tus: { ...kept, ...(count !== undefined && { trustedParts: count }) } }
      })
      if (!changed?.upload.tus) throw new AppError('upload_not_found')
      trusted = count
    }

    return {
      /** Sends a part, or the original itself if it is the only part. */
      async send(partNumber: number, bytes: Buffer): Promise<void> {
        if (multipartId === undefined) {
          return tusParts.putOriginal(upload, upload.intent, bytes, chunk.lost)
        }
        if (!isVerified && trusted === undefined) await setTrusted(parts.length)
        sent.push(await tusParts.send(upload, multipartId, { partNumber, bytes }, chunk.lost))
        if (isVerified) await trustSent()
      },
      /** Records that the checksum matched, so that all sent parts count. */
      async trustAll(): Promise<void> {
        isVerified = true
        await trustSent()
      },
      /** Makes the original of all parts. */
      async finish(): Promise<void> {
        await tusUploads.finish({ upload, highestPart, ...progress, parts: sent })
      },
    }
  }
}

export type ReceiveChunk = ReturnType<typeof createReceiveChunk>
