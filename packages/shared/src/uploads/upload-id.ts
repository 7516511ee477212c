import Type from 'typebox'
import { v7 } from 'uuid'

const pattern = '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'

/** An upload's id: a UUIDv7 (RFC 9562) in lower case, so that ids sort by the time they were made. */
export const UploadId = Type.String({ pattern, description: 'UUIDv7' })

/** Makes a new upload id. */
export function newUploadId(): string {
  return v7()
}

const uploadIdForm = new RegExp(pattern)

/** Whether a text is an upload id. */
export function isUploadId(text: string): boolean {
  return uploadIdForm.test(text)
}

/** The moment an upload id was made, out of its first 48 bits (RFC 9562, 5.7): milliseconds since 1970. */
export function uploadIdTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
