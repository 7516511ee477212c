/**
 * The ledger: which objects Millrace keeps in its bucket, and under which keys. Keys are built and parsed
 * here and nowhere else.
 *
 *   originals/{owner}/{uploadId}                          the bytes as they came; written by the client, the
 *                                                         API or tus. Its metadata alone can rebuild the record
 *   variants/{owner}/{uploadId}/{preset}/{variant}.{ext}  written by a worker; doing the work twice
 *                                                         overwrites the same object
 *   manifests/{owner}/{uploadId}.json                     written by a worker, last: the commit point
 *   unfinished/{owner}/{uploadId}                         written by the API for tus: bytes that do not fill a
 *                                                         part yet. Gone once the original is there
 *   erased/{owner}/{uploadId}                             written by the API where several regions copy to each
 *                                                         other: says that the upload was erased. Empty
 */

import { Compile } from 'typebox/compile'
import { Owner } from '../uploads/owner.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { isUploadId } from '../uploads/upload-id.ts'

const owner = Compile(Owner)

/** Where S3's event notifications look for arrivals. */
export const originalsPrefix = 'originals/'
export const manifestsPrefix = 'manifests/'
export const variantsPrefix = 'variants/'
/** Beside the originals, not among them: no event tells of it, and no listing takes it for an upload. */
export const unfinishedPrefix = 'unfinished/'
/** Where regions look for what others have erased. */
export const erasedPrefix = 'erased/'

export function originalKey({ owner, id }: UploadAddress): string {
  return `${originalsPrefix}${owner}/${id}`
}

export function manifestKey({ owner, id }: UploadAddress): string {
  return `${manifestsPrefix}${owner}/${id}.json`
}

/** Where the bytes of a tus upload lie that came after its last whole part. */
export function unfinishedKey({ owner, id }: UploadAddress): string {
  return `${unfinishedPrefix}${owner}/${id}`
}

/** Where an upload's erasure is told to other regions. */
export function erasureKey({ owner, id }: UploadAddress): string {
  return `${erasedPrefix}${owner}/${id}`
}

/** Where all variants of an upload lie, whatever their preset. */
export function uploadVariantsPrefix({ owner, id }: UploadAddress): string {
  return `${variantsPrefix}${owner}/${id}/`
}

export function variantKey(
  address: UploadAddress,
  variant: { preset: string; name: string; extension: string },
): string {
  return `${uploadVariantsPrefix(address)}${variant.preset}/${variant.name}.${variant.extension}`
}

/** @returns the upload whose original has this key, or undefined where the key is not an original's */
export function parseOriginalKey(key: string): UploadAddress | undefined {
  return parse(key, originalsPrefix, '')
}

/** @returns the upload whose manifest has this key, or undefined where the key is not a manifest's */
export function parseManifestKey(key: string): UploadAddress | undefined {
  return parse(key, manifestsPrefix, '.json')
}

/** @returns the upload that these unfinished bytes belong to, or undefined where the key is of another kind */
export function parseUnfinishedKey(key: string): UploadAddress | undefined {
  return parse(key, unfinishedPrefix, '')
}

/** @returns the upload whose erasure this key tells of, or undefined where the key is of another kind */
export function parseErasureKey(key: string): UploadAddress | undefined {
  return parse(key, erasedPrefix, '')
}

function parse(key: string, prefix: string, suffix: string): UploadAddress | undefined {
  if (!key.startsWith(prefix) || !key.endsWith(suffix)) return undefined
  const [ownerPart, id, ...rest] = key.slice(prefix.length, key.length - suffix.length).split('/')
  if (ownerPart === undefined || id === undefined || rest.length > 0) return undefined
  return owner.Check(ownerPart) && isUploadId(id) ? { owner: ownerPart, id } : undefined
}
