import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import {
  manifestsPrefix,
  originalsPrefix,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'

/**
 * Lists an owner's uploads, newest first. The index is in Redis; where it is not known to be whole, since
 * Redis lost it or never had it, it is first made whole from what S3 has.
 */
export function createListUploads(deps: {
  s3: S3Client
  bucket: string
  records: UploadRecords
  lookup: UploadLookup
}) {
  const { s3, bucket, records, lookup } = deps

  /**
   * @param before the last id of the page before
   * @returns a page, and whether there are older ones
   */
  return async function listUploads(
    owner: string,
    { before, limit }: { before?: string; limit: number },
  ): Promise<{ uploads: Upload[]; more: boolean }> {
    if (!(await records.isListed(owner))) await records.list(owner, await idsInS3(owner))
    const uploads: Upload[] = []
    let last = before
    for (;;) {
      const wanted = limit + 1 - uploads.length
      const ids = await records.ids(owner, { ...(last && { before: last }), limit: wanted })
      for (const found of await Promise.all(ids.map((id) => findListed(owner, id)))) {
        if (found) uploads.push(found)
      }
      last = ids.at(-1)
      if (ids.length < wanted || uploads.length > limit) break
    }
    return { uploads: uploads.slice(0, limit), more: uploads.length > limit }
  }

  async function findListed(owner: string, id: string): Promise<Upload | undefined> {
    const found = await lookup.find({ owner, id })
    // Announced once, but the bytes never came and the record has expired.
    if (!found) await records.unlist({ owner, id })
    return found?.upload
  }

  async function idsInS3(owner: string): Promise<string[]> {
    const ids = new Set<string>()
    const [originals, manifests] = await Promise.all([
      keysUnder(`${originalsPrefix}${owner}/`),
      keysUnder(`${manifestsPrefix}${owner}/`),
    ])
    for (const address of [...originals.map(parseOriginalKey), ...manifests.map(parseManifestKey)]) {
      if (address) ids.add(address.id)
    }
    return [...ids]
  }

  async function keysUnder(prefix: string): Promise<string[]> {
    const keys: string[] = []
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
      for (const { Key } of page.Contents ?? []) if (Key) keys.push(Key)
    }
    return keys
  }
}

export type ListUploads = ReturnType<typeof createListUploads>
