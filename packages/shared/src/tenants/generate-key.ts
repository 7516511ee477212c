import { createHash, randomBytes } from 'node:crypto'

/** Bytes of a key. Nobody can guess one, so a plain SHA-256 is all that has to be stored. */
const keyBytes = 32

const keyForm = /^mr_[A-Za-z0-9_-]{43}$/

/** Generates an API key of 32 random bytes. */
export function generateKey(): string {
  return `mr_${randomBytes(keyBytes).toString('base64url')}`
}

/** Whether a text has the form of a key that `generateKey` returned. */
export function isKeyText(text: string): boolean {
  return keyForm.test(text)
}

/** Returns the hash that identifies a key: SHA-256, 64 hex digits. */
export function hashOfKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
