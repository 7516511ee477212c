import { hash } from 'node:crypto'
import type { Arrival } from '../uploads/upload.ts'

/** Hexadecimal digits: the versions of one upload are told apart, which are few. */
const length = 16

/**
 * Names what variants are made of: the bytes that arrived, and the recipe (`recipe-version.ts`). It is a part of their keys, so
 * variants of other bytes or of another recipe are other objects.
 *
 * @param arrival identified by its version, which is the same in each region, or else by its etag
 */
export function variantVersion({ versionId, etag }: Arrival, recipe: string): string {
  return hash('sha256', `${versionId ?? etag}\n${recipe}`).slice(0, length)
}
