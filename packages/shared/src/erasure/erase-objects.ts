import { DeleteObjectsCommand, type S3Client } from '@aws-sdk/client-s3'
import {
  announcementKey,
  editKey,
  manifestKey,
  originalKey,
  unfinishedKey,
  uploadVariantsPrefix,
} from '../ledger/object-keys.ts'
import { paginateObjectVersions } from '../ledger/pages.ts'
import { createAbortMultipartUploads } from '../parts/abort-multipart-uploads.ts'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

/** An erased object and the number of versions it had. */
export type ErasedObject = { key: string; versions: number }

/** A version of an object, or a delete marker. */
export type ObjectVersion = { Key: string; VersionId: string }

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
   * @param options.beforeFirst receives the keys of the objects that S3 has, before any is deleted. Not called if it has
   *   none
   * @param options.listed what S3 had before (`createListErasable`). Another process may have erased it meanwhile
   * @returns the objects that were listed, and those that were erased in addition
   * @throws AppError `dependency_unavailable` if objects remain after all rounds
   */
  return async function eraseObjects(
    address: UploadAddress,
    options: EraseOptions = {},
  ): Promise<ErasedObject[]> {
    return erase(address, erasableOf(address), options)
  }
}

/** Lists what `createEraseObjects` would erase of an upload, without its open multipart uploads. */
export function createListErasable(deps: { s3: S3Client; bucket: string }) {
  const list = createListVersions(deps)
  return (address: UploadAddress): Promise<ObjectVersion[]> => list(erasableOf(address))
}

export type ListErasable = ReturnType<typeof createListErasable>

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

type EraseOptions = {
  beforeFirst?: (keys: string[]) => Promise<void>
  listed?: readonly ObjectVersion[]
}

function erasableOf(address: UploadAddress): Selection {
  const keys = [originalKey(address), manifestKey(address), editKey(address), ...unfinishedKeys(address)]
  return { keys, prefix: uploadVariantsPrefix(address) }
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
    options: EraseOptions = {},
  ): Promise<ErasedObject[]> {
    // If one is completed at this moment, the listing below contains its object.
    await abortMultipartUploads(originalKey(address))
    return eraseVersions(selection, options)
  }
}

function createEraseVersions({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const list = createListVersions({ s3, bucket })

  return async function eraseVersions(
    selection: Selection,
    { beforeFirst, listed = [] }: EraseOptions = {},
  ): Promise<ErasedObject[]> {
    const erased = new Map<string, Set<string>>()
    const add = ({ Key, VersionId }: ObjectVersion) =>
      erased.set(Key, (erased.get(Key) ?? new Set()).add(VersionId))
    listed.forEach(add)
    let isFirst = true
    for (let round = 0; round < maxRounds; round++) {
      const remaining = await list(selection)
      if (remaining.length === 0) return [...erased].map(([key, { size }]) => ({ key, versions: size }))
      if (isFirst) await beforeFirst?.(remaining.map(({ Key }) => Key))
      isFirst = false
      for (let start = 0; start < remaining.length; start += maxBatchSize) {
        await remove(remaining.slice(start, start + maxBatchSize))
      }
      remaining.forEach(add)
    }
    throw new AppError('dependency_unavailable', { message: 'Some objects were not erased.' })
  }

  async function remove(versions: ObjectVersion[]): Promise<void> {
    const { Errors: errors = [] } = await s3.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: versions, Quiet: true } }),
    )
    const [error] = errors
    if (error)
      throw new AppError('dependency_unavailable', { cause: new Error(`${error.Code} ${error.Message}`) })
  }
}

/** Lists the versions and delete markers of a selection. */
function createListVersions({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return async function listVersions({ keys, prefix }: Selection): Promise<ObjectVersion[]> {
    const selected: ObjectVersion[] = []
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
}
