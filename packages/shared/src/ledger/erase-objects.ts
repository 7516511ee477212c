import { DeleteObjectsCommand, type S3Client } from '@aws-sdk/client-s3'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createAbortMultipartUploads } from './abort-multipart-uploads.ts'
import {
  announcementKey,
  editKey,
  manifestKey,
  originalKey,
  unfinishedKey,
  uploadVariantsPrefix,
} from './object-keys.ts'
import { paginateObjectVersions } from './pages.ts'

/** An erased object and the number of versions it had. */
export type ErasedObject = { key: string; versions: number }

type Version = { Key: string; VersionId: string }

/** S3 accepts at most this many keys in one request (S3 API, "DeleteObjects"). */
const maxBatchSize = 1000
/** Other processes may write while we erase, so one round may not be enough. More rounds are a fault. */
const maxRounds = 5

/**
 * Erases all objects of an upload: open multipart uploads, the original, its announcement, unfinished bytes, variants,
 * the edit and the manifest, with all versions and delete markers.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createEraseObjects(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /**
   * Erases the objects and verifies the result with a listing.
   *
   * @param beforeFirst receives the keys of the objects that S3 has, before any is deleted. Not called if it has none
   * @returns the erased objects
   * @throws AppError `dependency_unavailable` if objects remain after all rounds
   */
  return async function eraseObjects(
    address: UploadAddress,
    beforeFirst?: (keys: string[]) => Promise<void>,
  ): Promise<ErasedObject[]> {
    const keys = [originalKey(address), manifestKey(address), editKey(address), ...unfinishedKeys(address)]
    return erase(address, { keys, prefix: uploadVariantsPrefix(address) }, beforeFirst)
  }
}

export type EraseObjects = ReturnType<typeof createEraseObjects>

/** Erases the open multipart uploads, the announcement and the unfinished bytes of an upload. */
export function createEraseUnfinished(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /** @throws AppError `dependency_unavailable` if objects remain after all rounds */
  return async function eraseUnfinished(address: UploadAddress): Promise<void> {
    await erase(address, { keys: unfinishedKeys(address) })
  }
}

export type EraseUnfinished = ReturnType<typeof createEraseUnfinished>

/** Erases all versions of one object that belongs to no upload. */
export function createEraseObject(deps: { s3: S3Client; bucket: string }) {
  const eraseVersions = createEraseVersions(deps)

  /** @throws AppError `dependency_unavailable` if versions remain after all rounds */
  return async function eraseObject(key: string): Promise<void> {
    await eraseVersions({ keys: [key] })
  }
}

function unfinishedKeys(address: UploadAddress): string[] {
  return [unfinishedKey(address), announcementKey(address)]
}

/** Objects with these keys, and all objects whose keys begin with the prefix. */
type Selection = { keys: string[]; prefix?: string }

function createErase({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })
  const eraseVersions = createEraseVersions({ s3, bucket })

  return async function erase(
    address: UploadAddress,
    selection: Selection,
    beforeFirst?: (keys: string[]) => Promise<void>,
  ): Promise<ErasedObject[]> {
    // If one is completed at this moment, the listing below contains its object.
    await abortMultipartUploads(originalKey(address))
    return eraseVersions(selection, beforeFirst)
  }
}

function createEraseVersions({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return async function eraseVersions(
    selection: Selection,
    beforeFirst?: (keys: string[]) => Promise<void>,
  ): Promise<ErasedObject[]> {
    const erased = new Map<string, number>()
    for (let round = 0; round < maxRounds; round++) {
      const remaining = await list(selection)
      if (remaining.length === 0) return [...erased].map(([key, versions]) => ({ key, versions }))
      if (erased.size === 0) await beforeFirst?.(remaining.map(({ Key }) => Key))
      for (let start = 0; start < remaining.length; start += maxBatchSize) {
        await remove(remaining.slice(start, start + maxBatchSize))
      }
      for (const { Key } of remaining) erased.set(Key, (erased.get(Key) ?? 0) + 1)
    }
    throw new AppError('dependency_unavailable', { message: 'Some objects were not erased.' })
  }

  async function list({ keys, prefix }: Selection): Promise<Version[]> {
    const selected: Version[] = []
    const keysAndPrefix = prefix === undefined ? keys : [...keys, prefix]
    // A listing of a key contains the keys that begin with it.
    const listings = keysAndPrefix.filter(
      (each) => !keysAndPrefix.some((other) => other !== each && each.startsWith(other)),
    )
    for (const keyOrPrefix of listings) {
      const pages = paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: keyOrPrefix })
      for await (const { Versions = [], DeleteMarkers = [] } of pages) {
        for (const { Key, VersionId } of [...Versions, ...DeleteMarkers]) {
          // A key can be the prefix of other keys.
          const isSelected = Key && (keys.includes(Key) || (prefix !== undefined && Key.startsWith(prefix)))
          if (isSelected) selected.push({ Key, VersionId: VersionId ?? 'null' })
        }
      }
    }
    return selected
  }

  async function remove(versions: Version[]): Promise<void> {
    const { Errors: errors = [] } = await s3.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: versions, Quiet: true } }),
    )
    const [error] = errors
    if (error)
      throw new AppError('dependency_unavailable', { cause: new Error(`${error.Code} ${error.Message}`) })
  }
}
