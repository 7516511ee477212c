import type { S3Client } from '@aws-sdk/client-s3'
import { isUploadId } from '../uploads/upload-id.ts'
import { manifestsPrefix, originalsPrefix, unfinishedPrefix, variantsPrefix } from './object-keys.ts'
import { paginateMultipartUploads, paginateObjectVersions } from './pages.ts'

/** What S3 has of one upload: versions of objects, delete markers included, and their bytes. */
export type UploadContents = { id: string; versions: number; bytes: number }

type Source = AsyncGenerator<UploadContents, undefined>

/**
 * Lists everything that S3 has of an owner's uploads: all versions of all objects, and open multipart uploads. It takes one
 * request for each thousand versions, and keeps one page of each kind in memory.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createListOwnerContents({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** Yields each upload once, in the order of ids. */
  return async function* listOwnerContents(owner: string): Source {
    const kinds = [originalsPrefix, manifestsPrefix, variantsPrefix, unfinishedPrefix]
    yield* mergeById([...kinds.map((kind) => versionsOf(`${kind}${owner}/`)), openMultiparts(owner)])
  }

  async function* versionsOf(prefix: string): Source {
    for await (const page of paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
      const versions = [
        ...(page.Versions ?? []).map(({ Key = '', Size = 0 }) => ({ Key, Size })),
        ...(page.DeleteMarkers ?? []).map(({ Key = '' }) => ({ Key, Size: 0 })),
      ]
      // Both lists are sorted, but not together.
      for (const { Key, Size } of versions.toSorted((a, b) => (a.Key < b.Key ? -1 : 1))) {
        const id = Key.slice(prefix.length, prefix.length + idLength)
        if (isUploadId(id)) yield { id, versions: 1, bytes: Size }
      }
    }
  }

  async function* openMultiparts(owner: string): Source {
    const prefix = `${originalsPrefix}${owner}/`
    for await (const { Uploads = [] } of paginateMultipartUploads(
      { client: s3 },
      { Bucket: bucket, Prefix: prefix },
    )) {
      for (const { Key = '' } of Uploads) {
        const id = Key.slice(prefix.length)
        if (isUploadId(id)) yield { id, versions: 0, bytes: 0 }
      }
    }
  }
}

export type ListOwnerContents = ReturnType<typeof createListOwnerContents>

/** Characters of a UUID. */
const idLength = 36

/** Merges sources that are each in the order of ids. What several have of one upload is added up. */
export async function* mergeById(sources: Source[]): Source {
  const heads = await Promise.all(sources.map((source) => source.next()))
  for (;;) {
    const ids = heads.flatMap(({ value }) => value?.id ?? [])
    const [id] = ids.toSorted()
    if (id === undefined) return undefined
    const sum = { id, versions: 0, bytes: 0 }
    for (const [i, source] of sources.entries()) {
      for (let head = heads[i]?.value; head?.id === id; head = heads[i]?.value) {
        sum.versions += head.versions
        sum.bytes += head.bytes
        heads[i] = await source.next()
      }
    }
    yield sum
  }
}
