import { DeleteObjectsCommand, type S3Client } from '@aws-sdk/client-s3'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createAbortMultipartUploads } from './abort-multipart-uploads.ts'
import { manifestKey, originalKey, unfinishedKey, uploadVariantsPrefix } from './object-keys.ts'
import { paginateObjectVersions } from './pages.ts'

/** An erased object and the number of versions it had. */
export type ErasedObject = { key: string; versions: number }

type Version = { Key: string; VersionId: string }

/** S3 takes at most this many keys in one request (S3 API, "DeleteObjects"). */
const batch = 1000
/** Other processes may write while we erase. After so many passes it is not a coincidence any more. */
const passes = 5

/**
 * Erases all objects of an upload: open multipart uploads, the original, unfinished bytes, variants and the manifest,
 * with all their versions and delete markers.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createEraseObjects(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /**
   * @returns the erased objects, once a listing has shown that nothing is left
   * @throws AppError `dependency_unavailable` if something is left after all passes
   */
  return async function eraseObjects(address: UploadAddress): Promise<ErasedObject[]> {
    const keys = [originalKey(address), manifestKey(address), unfinishedKey(address)]
    return erase(address, { keys, prefix: uploadVariantsPrefix(address) })
  }
}

export type EraseObjects = ReturnType<typeof createEraseObjects>

/** Erases the open multipart uploads and the unfinished bytes of an upload. */
export function createEraseUnfinished(deps: { s3: S3Client; bucket: string }) {
  const erase = createErase(deps)

  /** @throws AppError `dependency_unavailable` if something is left after all passes */
  return async function eraseUnfinished(address: UploadAddress): Promise<void> {
    await erase(address, { keys: [unfinishedKey(address)] })
  }
}

export type EraseUnfinished = ReturnType<typeof createEraseUnfinished>

/** Objects with these keys, and all objects whose keys begin with the prefix. */
type Selection = { keys: string[]; prefix?: string }

function createErase({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })

  return async function erase(address: UploadAddress, selection: Selection): Promise<ErasedObject[]> {
    // One that is completed meanwhile is an object in the listing.
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
      const pages = paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: start })
      for await (const { Versions = [], DeleteMarkers = [] } of pages) {
        for (const { Key, VersionId } of [...Versions, ...DeleteMarkers]) {
          // A key can be the prefix of other keys.
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
}
