import { hash } from 'node:crypto'
import type { Arrival } from '../uploads/upload.ts'

/** Hexadecimal digits: the versions of one upload are told apart, which are few. */
const length = 16

/**
 * Names what variants are made of: the bytes that arrived, and the recipe (`recipe-version.ts`). It is a part of their keys, so
 * variants of other bytes or of another recipe are other objects.
 *
 * @param arrival identified by its etag: if the same bytes are sent again, they have another version, but the same etag unless
 *   KMS encrypts them
 */
export function variantVersion({ etag }: Arrival, recipe: string): string {
  return hash('sha256', `${etag}\n${recipe}`).slice(0, length)
}
