import { createHash } from 'node:crypto'
import Type from 'typebox'
import { v7 } from 'uuid'

const pattern = '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'

/** An upload's id: a lower-case UUIDv7 (RFC 9562), so that ids sort by creation time. */
export const UploadId = Type.String({ pattern, description: 'UUIDv7' })

/** Returns a new upload id. */
export function newUploadId(): string {
  return v7()
}

const uploadIdPattern = new RegExp(pattern)

/** Whether a text is an upload id. */
export function isUploadId(text: string): boolean {
  return uploadIdPattern.test(text)
}

/** Returns an upload id's creation time from its first 48 bits (RFC 9562, 5.7), in ms since 1970. */
export function uploadIdTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

/** The largest upload id there can be. */
export const largestUploadId = 'ffffffff-ffff-7fff-bfff-ffffffffffff'

/** Returns the smallest upload id of a time. @param timeMs ms since 1970 */
export function smallestUploadId(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`
}

/** Returns the largest upload id of a time. @param timeMs ms since 1970 */
export function largestUploadIdOf(timeMs: number): string {
  return `${smallestUploadId(timeMs).slice(0, 'xxxxxxxx-xxxx-'.length)}${uploadIdTail(largestUploadId)}`
}

/** Returns what an upload id has after its time: version, variant and the 74 random bits. */
export function uploadIdTail(id: string): string {
  return id.slice('xxxxxxxx-xxxx-'.length)
}

/** Begins what is hashed, so that the same bits follow from nothing else. Another label would change all ids. */
const derivationLabel = 'millrace upload id of an idempotency key'

/**
 * Returns the id of the upload that belongs to an Idempotency-Key. The random bits are the SHA-256 of owner and key. So
 * only the time must be known to find the id again.
 *
 * @param timeMs when the first request with the key began, ms since 1970
 */
export function keyedUploadId({ owner, key }: { owner: string; key: string }, timeMs: number): string {
  const digest = createHash('sha256').update([derivationLabel, owner, key].join('\0')).digest()
  // uuid takes the first 32 of the 74 bits from `seq`, the others from the last bytes of `random`.
  return v7({ msecs: timeMs, random: digest.subarray(0, 16), seq: digest.readUInt32BE(16) })
}

/** As `derivationLabel`, for further versions. */
const furtherVersionLabel = 'millrace further version of an upload'

/**
 * Returns the id under which a further version of an upload's original has its quota. It has the upload's time, so it counts
 * for the same day. No upload has this id.
 *
 * @param position of the version among those that are kept: 1 for the second one
 */
export function furtherVersionId(id: string, position: number): string {
  const digest = createHash('sha256').update([furtherVersionLabel, id, position].join('\0')).digest()
  return v7({ msecs: uploadIdTimeMs(id), random: digest.subarray(0, 16), seq: digest.readUInt32BE(16) })
}
