import type { Readable } from 'node:stream'
import type { EraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import { createPartBuffers } from '@millrace/shared/ledger/part-buffers.ts'
import { planGrowingParts } from '@millrace/shared/ledger/part-plan.ts'
import { tooLarge } from '@millrace/shared/ledger/store-original.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Part } from '../uploads/multipart-uploads.ts'
import type { ChunkChecksum } from './tus-checksum.ts'
import type { TusParts } from './tus-parts.ts'
import { sizeOf, type TusProgress, type TusUploads } from './tus-uploads.ts'

/** Less memory than this is had for nothing, in bytes. */
const worthLendingBytes = 256 * 1024

/** The bytes of one request. */
export type Chunk = {
  bytes: Readable
  /** Once `bytes` ended: why it did before all of the body was there. */
  cutBy(): AppError | undefined
  checksum?: ChunkChecksum | undefined
  /** Aborts when the upload's lock is lost: from then on somebody else may write. */
  lost: AbortSignal
}

/**
 * Takes the bytes of one request into S3, as fast as S3 takes them: one part in memory, and one on its way.
 *
 * A part always begins at the same byte and has the same size, whoever sends it and however the client cuts its
 * requests. So what a holder that lost its lock still sends is what should lie there anyway.
 */
export function createReceiveChunk(deps: {
  records: UploadRecords
  tusUploads: TusUploads
  tusParts: TusParts
  eraseObjects: EraseObjects
}) {
  const { records, tusUploads, tusParts, eraseObjects } = deps
  const buffers = createPartBuffers()
  // The last part is cut out of memory of the size that all have, or it would be of use to nobody afterwards.
  const lend = (bytes: number, wholeBytes: number): Buffer =>
    bytes < worthLendingBytes ? Buffer.allocUnsafeSlow(bytes) : buffers.take(wholeBytes).subarray(0, bytes)
  const giveBack = ({ buffer }: Buffer): void => {
    if (buffer.byteLength >= worthLendingBytes) buffers.giveBack(Buffer.from(buffer))
  }

  /**
   * Keeps what came of a request that was cut short, unless it has a checksum, which then cannot be right.
   *
   * @param progress as `tusUploads.find` gave it under the same lock
   * @returns how many bytes of the upload are here now
   * @throws AppError what cut the request short, once what came is safe; `chunk_checksum_mismatch`,
   *   `upload_too_large`, `upload_not_found` where it was erased meanwhile
   */
  return async function receiveChunk(progress: TusProgress, chunk: Chunk): Promise<number> {
    const { upload } = progress
    if (upload.state !== 'awaiting') throw new AppError('upload_closed')
    try {
      return await take(progress, chunk)
    } catch (error) {
      // An erasure is remembered before it begins, so what was written after its listing is seen here.
      if (!(await records.isErased(upload))) throw error
      await eraseObjects(upload)
      throw new AppError('upload_not_found')
    }
  }

  async function take(progress: TusProgress, chunk: Chunk): Promise<number> {
    const { upload } = progress
    const { size } = upload.intent
    const sender = createSender(progress, chunk)
    const plannedBytes = planGrowingParts(size)
    let { offset } = progress
    let partNumber = progress.parts.length + 1
    let partStart = sizeOf(progress.parts)
    const nextBytes = () => Math.min(plannedBytes(partNumber), size - partStart)
    const nextPart = () => lend(nextBytes(), plannedBytes(partNumber))
    let part = nextPart()
    let underWay: Buffer | undefined
    let filled = offset - partStart
    if (filled > 0) part.set(await tusParts.readUnfinished(upload))
    try {
      for await (const bytes of chunk.bytes as AsyncIterable<Buffer>) {
        chunk.lost.throwIfAborted()
        if (bytes.length > size - offset) throw tooLarge(size)
        chunk.checksum?.update(bytes)
        offset += bytes.length
        for (let taken = 0; taken < bytes.length; ) {
          const copied = bytes.copy(part, filled, taken)
          taken += copied
          filled += copied
          // The last part waits for the end of the request, which may still be refused.
          if (filled < part.length || partStart + filled === size) continue
          await sender.settled()
          if (underWay) giveBack(underWay)
          sender.send(partNumber, part)
          underWay = part
          partStart += part.length
          partNumber += 1
          part = nextPart()
          filled = 0
        }
      }
      await sender.settled()
      if (underWay) giveBack(underWay)
      chunk.lost.throwIfAborted()
    } finally {
      await sender.settled().catch(() => undefined)
    }
    const cutBy = offset < size || chunk.checksum ? chunk.cutBy() : undefined
    if (chunk.checksum) {
      if (cutBy) throw cutBy
      chunk.checksum.verify()
      await sender.verified()
    }
    if (offset === size) {
      await sender.finish(partNumber, part)
      giveBack(part)
      return offset
    }
    if (filled > 0 && offset > progress.offset) {
      await tusParts.putUnfinished(upload, { partNumber, bytes: part.subarray(0, filled) }, chunk.lost)
    }
    giveBack(part)
    if (await records.isErased(upload)) throw new AppError('upload_not_found')
    if (cutBy) throw cutBy
    return offset
  }

  /**
   * Sends parts, one at a time. S3 cannot take a part back, so while a checksum is not verified the record says
   * up to which part they count; and afterwards, until those that did not have been replaced.
   */
  function createSender({ upload, parts, highestPart, ...progress }: TusProgress, chunk: Chunk) {
    const multipartId = upload.tus?.multipartId
    const known: Part[] = [...parts]
    let trusted = upload.tus?.trustedParts
    let isVerified = chunk.checksum === undefined
    let underWay: Promise<void> = Promise.resolve()

    async function sendPart(partNumber: number, bytes: Buffer): Promise<void> {
      if (multipartId === undefined) {
        return tusParts.putOriginal(upload, upload.intent, bytes, chunk.lost)
      }
      if (!isVerified && trusted === undefined) await trust(parts.length)
      known.push(await tusParts.send(upload, multipartId, { partNumber, bytes }, chunk.lost))
      if (isVerified) await trustKnown()
    }

    async function trustKnown(): Promise<void> {
      if (trusted !== undefined) await trust(known.length < highestPart ? known.length : undefined)
    }

    async function trust(count: number | undefined): Promise<void> {
      const changed = await records.update(upload, ({ tus, ...rest }) => {
        if (!tus) return undefined
        const { trustedParts: _, ...kept } = tus
        return { ...rest, tus: { ...kept, ...(count !== undefined && { trustedParts: count }) } }
      })
      if (!changed?.upload.tus) throw new AppError('upload_not_found')
      trusted = count
    }

    return {
      /** The bytes must stay as they are until `settled`. */
      send(partNumber: number, bytes: Buffer): void {
        underWay = sendPart(partNumber, bytes)
        // Whoever awaits `settled` learns of it; until then it must not count as unhandled.
        underWay.catch(() => undefined)
      },
      /** Settles as the part under way does. */
      settled: () => underWay,
      /** The checksum was right: all that was sent counts. */
      async verified(): Promise<void> {
        isVerified = true
        await trustKnown()
      },
      /** Sends the last part and makes an original of all of them. */
      async finish(partNumber: number, bytes: Buffer): Promise<void> {
        await sendPart(partNumber, bytes)
        await tusUploads.finish({ upload, highestPart, ...progress, parts: known })
      },
    }
  }
}

export type ReceiveChunk = ReturnType<typeof createReceiveChunk>
