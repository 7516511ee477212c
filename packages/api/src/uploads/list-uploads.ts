import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import {
  manifestsPrefix,
  originalsPrefix,
  parseAnnouncementKey,
  parseManifestKey,
  parseOriginalKey,
  unfinishedPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { isUnreadable } from '@millrace/shared/service/stored-json.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'

/**
 * Lists an owner's uploads, newest first. The index is in Redis. If it may be incomplete, because Redis lost
 * it or never had it, it is first rebuilt from S3.
 */
export function createListUploads(deps: {
  s3: S3Client
  bucket: string
  records: UploadRecords
  lookup: UploadLookup
}) {
  const { s3, bucket, records, lookup } = deps

  /**
   * Returns one page of an owner's uploads.
   *
   * @param before the last id of the previous page
   * @param limit the number of uploads of the page
   * @returns the page, and `more`: whether older uploads follow
   */
  return async function listUploads(
    owner: string,
    { before, limit }: { before?: string; limit: number },
  ): Promise<{ uploads: Upload[]; more: boolean }> {
    if (!(await records.isListed(owner))) await records.list(owner, await idsInS3(owner))
    const uploads: Upload[] = []
    let last = before
    for (;;) {
      const batchSize = limit + 1 - uploads.length
      const ids = await records.ids(owner, { ...(last && { before: last }), limit: batchSize })
      for (const upload of await Promise.all(ids.map((id) => findListed(owner, id)))) {
        if (upload) uploads.push(upload)
      }
      last = ids.at(-1)
      if (ids.length < batchSize || uploads.length > limit) break
    }
    return { uploads: uploads.slice(0, limit), more: uploads.length > limit }
  }

  async function findListed(owner: string, id: string): Promise<Upload | undefined> {
    const found = await lookup.find({ owner, id }).catch((error: unknown) => {
      // Another version can read it, so it stays in the index. The rest of the page is listed.
      if (isUnreadable(error)) return 'unreadable' as const
      throw error
    })
    if (found === 'unreadable') return undefined
    // The upload was announced, but its bytes never arrived and the record has expired.
    if (!found) await records.unlist({ owner, id })
    return found?.upload
  }

  async function idsInS3(owner: string): Promise<string[]> {
    const ids = new Set<string>()
    const [originals, manifests, unfinished] = await Promise.all([
      keysUnder(`${originalsPrefix}${owner}/`),
      keysUnder(`${manifestsPrefix}${owner}/`),
      keysUnder(`${unfinishedPrefix}${owner}/`),
    ])
    for (const address of [
      ...originals.map(parseOriginalKey),
      ...manifests.map(parseManifestKey),
      ...unfinished.map(parseAnnouncementKey),
    ]) {
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
