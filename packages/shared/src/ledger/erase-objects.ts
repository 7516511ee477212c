import {
  DeleteObjectsCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createAbortMultipartUploads } from './abort-multipart-uploads.ts'
import { manifestKey, originalKey, unfinishedKey, uploadVariantsPrefix } from './object-keys.ts'

/** An object that is gone, with how many versions of it there were. */
export type ErasedObject = { key: string; versions: number }

type Version = { Key: string; VersionId: string }

/** S3 takes at most this many keys in one request (S3 API, "DeleteObjects"). */
const batch = 1000
/** Somebody may write while we erase; after so many passes it is no coincidence any more. */
const passes = 5

/**
 * Erases what S3 has of an upload: open multipart uploads, the original, bytes of tus beside it, its variants
 * and the manifest, in all their versions and with their delete markers.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createEraseObjects(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /**
   * @returns what was erased, once a listing has shown that nothing is left
   * @throws AppError `dependency_unavailable` where something is left all the same
   */
  return async function eraseObjects(address: UploadAddress): Promise<ErasedObject[]> {
    const keys = [originalKey(address), manifestKey(address), unfinishedKey(address)]
    return erase(address, { keys, prefix: uploadVariantsPrefix(address) })
  }
}

export type EraseObjects = ReturnType<typeof createEraseObjects>

/** Erases what S3 has of an upload besides its objects: multipart uploads that are open, and bytes of tus. */
export function createEraseUnfinished(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /** @throws AppError `dependency_unavailable` where something is left all the same */
  return async function eraseUnfinished(address: UploadAddress): Promise<void> {
    await erase(address, { keys: [unfinishedKey(address)] })
  }
}

export type EraseUnfinished = ReturnType<typeof createEraseUnfinished>

/** Objects by their keys, and all whose keys begin with a prefix. */
type Selection = { keys: string[]; prefix?: string }

function createErase({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })

  return async function erase(address: UploadAddress, selection: Selection): Promise<ErasedObject[]> {
    // One that is completed meanwhile shows as an object in the listing.
    await abortMultipartUploads(originalKey(address))
    const erased = new Map<string, number>()
    for (let pass = 0; pass < passes; pass++) {
      const left = await list(selection)
      if (left.length === 0) return [...erased].map(([key, versions]) => ({ key, versions }))
      for (let i = 0; i < left.length; i += batch) await remove(left.slice(i, i + batch))
      for (const { Key } of left) erased.set(Key, (erased.get(Key) ?? 0) + 1)
    }
    throw new AppError('dependency_unavailable', { message: 'Not all of the upload could be erased.' })
  }

  async function list({ keys, prefix }: Selection): Promise<Version[]> {
    const found: Version[] = []
    for (const start of prefix === undefined ? keys : [...keys, prefix]) {
      for await (const { Versions = [], DeleteMarkers = [] } of versionPages(start)) {
        for (const { Key, VersionId } of [...Versions, ...DeleteMarkers]) {
          // A key is the prefix of other keys, too.
          const isOurs = Key && (keys.includes(Key) || (prefix !== undefined && Key.startsWith(prefix)))
          if (isOurs) found.push({ Key, VersionId: VersionId ?? 'null' })
        }
      }
    }
    return found
  }

  async function remove(versions: Version[]): Promise<void> {
    const { Errors: errors = [] } = await s3.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: versions, Quiet: true } }),
    )
    const [first] = errors
    if (first)
      throw new AppError('dependency_unavailable', { cause: new Error(`${first.Code} ${first.Message}`) })
  }

  async function* versionPages(prefix: string): AsyncGenerator<ListObjectVersionsCommandOutput> {
    let page: ListObjectVersionsCommandOutput | undefined
    do {
      page = await s3.send(
        new ListObjectVersionsCommand({
          Bucket: bucket,
          Prefix: prefix,
          KeyMarker: page?.NextKeyMarker,
          VersionIdMarker: page?.NextVersionIdMarker,
        }),
      )
      yield page
    } while (page.IsTruncated)
  }
}
