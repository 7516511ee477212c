import type { Readable } from 'node:stream'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { BudgetHolder } from '@millrace/shared/network/budget.ts'
import { createStreamDivider } from '@millrace/shared/parts/divide-stream.ts'
import { planGrowingParts } from '@millrace/shared/parts/part-plan.ts'
import type { LastPart, SendParts } from '@millrace/shared/parts/send-parts.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Part } from '../announcing/multipart-uploads.ts'
import { divideAtSilence } from './divide-at-silence.ts'
import type { ChunkChecksum } from './tus-checksum.ts'
import { createSendLargeParts } from './tus-large-parts.ts'
import { sizeOfBytes, type TusBytes, type TusParts } from './tus-parts.ts'
import type { UnsizedUploads } from './tus-unsized.ts'
import { sizeOf, type TusProgress, type TusUploads } from './tus-uploads.ts'

/**
 * How long a client may be silent before the bytes that it has sent are stored, in ms. It doubles with each time in a
 * request, because they are read back when more come.
 */
const defaultSilenceMs = 1_000

/** The bytes of one request. */
export type Chunk = {
  bytes: Readable
  /** Their number, if the request declares it. */
  length?: number | undefined
  /** Returns why the body was interrupted, or undefined if all of it came. Call it after `bytes` ended. */
  interruption(): AppError | undefined
  checksum?: ChunkChecksum | undefined
  /** To whom the memory of the bytes counts. */
  holder: BudgetHolder
  /** Aborts when `bytes` end early. */
  signal: AbortSignal
  /** Aborts when the upload's lock is lost: from then on another request may write. */
  lost: AbortSignal
}

/**
 * Writes the bytes of tus requests to S3, as fast as S3 accepts them.
 *
 * A part always begins at the same byte and has the same size. Neither depends on the instance or on the
 * length of the client's requests. So a part that is still sent after its lock was lost has the right bytes.
 *
 * A client that is silent may be gone without the server's notice. Its bytes are stored, although more may follow, so that
 * HEAD tells them to its next connection and that one continues there. Requests with a checksum are excepted.
 *
 * @param deps.planParts divides a file of this size
 * @param deps.silenceMs how long a client may be silent at first before its bytes are stored, in ms
 */
export function createReceiveChunk(deps: {
  records: Pick<UploadRecords, 'update'>
  tusUploads: Pick<TusUploads, 'finish'>
  tusParts: TusParts
  unsizedUploads: Pick<UnsizedUploads, 'limitOf' | 'reserve'>
  sendParts: SendParts
  isErased: IsErased
  finishErasure: FinishErasure
  planParts?: typeof planGrowingParts
  silenceMs?: number
}) {
  const { records, tusUploads, tusParts, unsizedUploads, sendParts, isErased, finishErasure } = deps
  const { planParts = planGrowingParts, silenceMs = defaultSilenceMs } = deps
  const sendLargeParts = createSendLargeParts()

  /**
   * Stores the bytes of one request. If the request was interrupted, its bytes are still stored, unless it
   * has a checksum, which cannot match, or they are of a part that is too large to be collected in memory.
   *
   * @param progress from `tusUploads.find`, under the same lock
   * @returns the new offset, in bytes
   * @throws AppError the reason of an interruption, once the bytes are stored; `chunk_checksum_mismatch`,
   *   `upload_too_large`, `upload_not_found` if the upload was erased meanwhile; `too_many_uploads` or `overloaded` if
   *   there is no memory for the first bytes
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
    const size = upload.tus?.unsized ? undefined : upload.intent.size
    const { limitBytes, exceeded } = unsizedUploads.limitOf(upload)
    const plan = planParts(limitBytes)
    const evenBytes = plan.partBytes(1) * plan.evenParts
    const parts = createParts(progress, chunk)
    const first = firstPart(progress)
    let { offset } = progress

    const collected = {
      partBytes: plan.partBytes(1),
      // The last part is sent after the request has ended, because until then it may be rejected.
      ...(size !== undefined && { fileBytes: size }),
      maxBytes: limitBytes,
      onChunk,
      send: (partNumber: number, bytes: Buffer) => parts.send({ partNumber, bytes }),
      buffering: { holder: chunk.holder, signal: chunk.signal },
    }
    if (limitBytes <= evenBytes) return sendPieces()

    const { length } = chunk
    if (length === undefined) {
      throw new AppError('invalid_request', {
        message: `Content-Length is required for files of more than ${evenBytes} bytes.`,
      })
    }
    const body = createStreamDivider(chunk.bytes)
    let next: ReturnType<typeof firstPart> = first
    if (offset < evenBytes) {
      const chunks = body.upTo(evenBytes - offset)
      const isEnd = await sendParts({ ...collected, chunks, first }, async (last) => {
        const isEnd = offset < evenBytes
        if (isEnd) await finish(last)
        return isEnd
      })
      if (isEnd) return offset
      next = { partNumber: plan.evenParts + 1, startBytes: evenBytes }
    }
    const bodyBytes = length - (offset - progress.offset)
    if (bodyBytes === 0) {
      if (chunk.checksum) {
        chunk.checksum.verify()
        await parts.trustAll()
      }
    } else {
      const { partBytes } = plan
      await sendLargeParts({
        upload,
        first: next,
        partBytes,
        body,
        bodyBytes,
        chunk,
        onChunk,
        onVerified: parts.trustAll,
        send: parts.send,
        putUnfinished: parts.putUnfinished,
      })
    }
    return endChunk()

    function onChunk(bytes: Buffer): void {
      chunk.lost.throwIfAborted()
      if (bytes.length > limitBytes - offset) throw exceeded()
      chunk.checksum?.update(bytes)
      offset += bytes.length
    }

    /** Sends the body in pieces, which end where the client is silent. @returns the new offset */
    async function sendPieces(): Promise<number> {
      const body = divideAtSilence(chunk.bytes)
      let next: ReturnType<typeof firstPart> = first
      let pieceSilenceMs = chunk.checksum ? Number.POSITIVE_INFINITY : silenceMs
      try {
        for (;;) {
          const piece = { ...collected, chunks: body.piece(pieceSilenceMs), first: next }
          const last = await sendParts(piece, async (last) => {
            if (body.isEnded()) await finish(last)
            else await keep(last)
            return { partNumber: last.partNumber, length: last.bytes.length }
          })
          if (body.isEnded()) return offset
          next = partAt(upload, {
            partNumber: last.partNumber,
            startBytes: offset - last.length,
            length: last.length,
          })
          pieceSilenceMs *= 2
        }
      } finally {
        body.close()
      }
    }

    /** Stores bytes of an unfinished part, if there are new ones. */
    async function keep(last: LastPart): Promise<void> {
      chunk.lost.throwIfAborted()
      if (last.bytes.length > 0) await parts.putUnfinished(last)
    }

    /** Sends the bytes that are left. @returns the new offset */
    async function finish(last: LastPart): Promise<number> {
      chunk.lost.throwIfAborted()
      const isWhole = offset === size
      const interruption = !isWhole || chunk.checksum ? chunk.interruption() : undefined
      if (chunk.checksum) {
        if (interruption) throw interruption
        chunk.checksum.verify()
        await parts.trustAll()
      }
      if (!isWhole) await keep(last)
      else if (last.bytes.length > 0) await parts.send(last)
      await endChunk()
      if (interruption) throw interruption
      return offset
    }

    /** Completes the upload if all its bytes came. @returns the new offset */
    async function endChunk(): Promise<number> {
      if (offset === size) await parts.finish()
      else if (await isErased(upload)) throw new AppError('upload_not_found')
      return offset
    }
  }

  /** Returns the part of the next byte, with the bytes of it that S3 already has. */
  function firstPart({ upload, offset, parts }: TusProgress) {
    const startBytes = sizeOf(parts)
    return partAt(upload, { partNumber: parts.length + 1, startBytes, length: offset - startBytes })
  }

  /** @param part.length of the bytes that S3 already has */
  function partAt(
    upload: Upload,
    { partNumber, startBytes, length }: { partNumber: number; startBytes: number; length: number },
  ) {
    if (length === 0) return { partNumber, startBytes }
    // A request that lost its lock may have replaced them meanwhile. They begin with the same bytes.
    const earlier = { length, read: () => tusParts.readUnfinished(upload, length) }
    return { partNumber, startBytes, earlier }
  }

  /**
   * Sends parts and records which of them count. A part cannot be deleted from S3. So until a checksum is
   * verified, the record contains the number of the last part that counts. It stays there until the other
   * parts are replaced.
   */
  function createParts(progress: TusProgress, chunk: Chunk) {
    const { upload, parts, highestPart } = progress
    const multipartId = upload.tus?.multipartId
    const sent: Part[] = [...parts]
    let { unfinished } = progress
    let reservedBytes = progress.offset
    let trusted = upload.tus?.trustedParts
    let isVerified = chunk.checksum === undefined

    /** Reserves the quota of an upload whose length is unknown, before its bytes are stored. */
    async function reserveUpTo(bytes: number): Promise<void> {
      if (!upload.tus?.unsized || bytes <= reservedBytes) return
      await unsizedUploads.reserve(upload, { from: reservedBytes, to: bytes })
      reservedBytes = bytes
    }

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
      async send(part: TusBytes, signal = chunk.lost): Promise<void> {
        if (multipartId === undefined) {
          if ('size' in part) throw new Error('The only part of a file is never a stream.')
          return tusParts.putOriginal(upload, upload.intent, part.bytes, signal)
        }
        await reserveUpTo(sizeOf(sent) + sizeOfBytes(part))
        if (!isVerified && trusted === undefined) await setTrusted(parts.length)
        sent.push(await tusParts.send(upload, multipartId, part, signal))
        if (isVerified) await trustSent()
      },
      /** Stores the bytes of a part that is not whole yet. They replace those that this request has found or stored. */
      async putUnfinished(part: TusBytes, signal = chunk.lost): Promise<void> {
        await reserveUpTo(sizeOf(sent) + sizeOfBytes(part))
        unfinished = await tusParts.putUnfinished(upload, part, { replaces: unfinished, signal })
      },
      /** Records that the checksum matched, so that all sent parts count. */
      async trustAll(): Promise<void> {
        isVerified = true
        await trustSent()
      },
      /** Makes the original of all parts. */
      async finish(): Promise<void> {
        await tusUploads.finish({ ...progress, parts: sent, ...(unfinished && { unfinished }) })
      },
    }
  }
}

export type ReceiveChunk = ReturnType<typeof createReceiveChunk>
