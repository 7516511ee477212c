import type { Announcement } from './announcement.ts'

/** What is known of a file that is being sent. With it, another page can continue. */
export type Transfer = {
  /** Its Idempotency-Key: an announcement that is sent again returns the same upload for 24 hours. */
  key: string
  announcement: Announcement
  /** The upload's id, once it is announced. */
  id?: string
  /** Whether the file is sent in parts, of which S3 keeps those that arrived. */
  isInParts?: boolean
  /** When the upload expires if its bytes have not arrived, in ms since 1970. */
  expiresAtMs?: number
  /** Whether this page knows that the upload exists. One of an earlier page may have been erased since, or be another owner's. */
  isKnown?: boolean
}

/** Returns a transfer that was not announced yet. */
export function newTransfer(announcement: Announcement): Transfer {
  return { key: newKey(), announcement }
}

/** Forgets the upload of a transfer, so that its file is sent as a new one. */
export function startAnew(transfer: Transfer): void {
  transfer.key = newKey()
  delete transfer.id
  delete transfer.isInParts
  delete transfer.expiresAtMs
  delete transfer.isKnown
}

/** Has 32 random hex digits. `crypto.randomUUID` exists only in secure contexts, this works in all. */
function newKey(): string {
  const digits = [...crypto.getRandomValues(new Uint8Array(16))]
  return `upload-${digits.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
