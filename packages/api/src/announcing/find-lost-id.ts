import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import {
  erasureKey,
  erasuresPrefix,
  manifestKey,
  manifestsPrefix,
  originalKey,
  originalsPrefix,
  parseErasureKey,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { paginateMultipartUploads } from '@millrace/shared/ledger/pages.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { smallestUploadId, uploadIdTail } from '@millrace/shared/uploads/upload-id.ts'
import type { Logger } from 'pino'

/** Limit of the pages of each listing. A page has 1,000 keys, so 20,000 uploads of one owner in a day are searched. */
const defaultMaxPages = 20
const defaultPageKeys = 1000

/**
 * Finds the id of an Idempotency-Key that Redis lost. The id's tail follows from owner and key, only its time is unknown.
 * So the owner's latest keys in S3 are listed: originals, manifests (of rejected files they are all that is left), erasure
 * markers, and multipart uploads that are still open.
 *
 * @param deps.maxPages limit of the pages of each listing
 * @param deps.pageKeys keys of a page, at most 1,000
 */
export function createFindLostId(deps: {
  s3: S3Client
  bucket: string
  log: Pick<Logger, 'warn'>
  maxPages?: number
  pageKeys?: number
}) {
  const { s3, bucket, log, maxPages = defaultMaxPages, pageKeys = defaultPageKeys } = deps

  /**
   * @param tail of the id
   * @param sinceMs the earliest possible time of the id, ms since 1970
   * @returns the latest id with this tail, or undefined if there is none
   */
  return async function findLostId(
    owner: string,
    { tail, sinceMs }: { tail: string; sinceMs: number },
  ): Promise<string | undefined> {
    const first = { owner, id: smallestUploadId(sinceMs) }
    const list = (prefix: string, after: string) =>
      paginateListObjectsV2(
        { client: s3, pageSize: pageKeys },
        { Bucket: bucket, Prefix: `${prefix}${owner}/`, StartAfter: after },
      )
    const open = {
      Bucket: bucket,
      Prefix: `${originalsPrefix}${owner}/`,
      KeyMarker: originalKey(first),
      MaxUploads: pageKeys,
    }
    const ids = await Promise.all([
      search(list(originalsPrefix, originalKey(first)), ({ Contents }) => Contents, parseOriginalKey),
      search(list(manifestsPrefix, manifestKey(first)), ({ Contents }) => Contents, parseManifestKey),
      search(list(erasuresPrefix, erasureKey(first)), ({ Contents }) => Contents, parseErasureKey),
      search(paginateMultipartUploads({ client: s3 }, open), ({ Uploads }) => Uploads, parseOriginalKey),
    ])
    return ids
      .filter((id) => id !== undefined)
      .sort()
      .at(-1)

    async function search<Page>(
      pages: AsyncIterable<Page>,
      entriesOf: (page: Page) => { Key?: string | undefined }[] | undefined,
      parse: (key: string) => UploadAddress | undefined,
    ): Promise<string | undefined> {
      let found: string | undefined
      let count = 0
      for await (const page of pages) {
        if (count === maxPages) {
          log.warn(
            { event: 'idempotency-search-ended', owner, pages: count },
            'an Idempotency-Key that Redis lost was searched in a part of the uploads only',
          )
          break
        }
        count += 1
        for (const { Key = '' } of entriesOf(page) ?? []) {
          const id = parse(Key)?.id
          if (id !== undefined && uploadIdTail(id) === tail) found = id
        }
      }
      return found
    }
  }
}

export type FindLostId = ReturnType<typeof createFindLostId>
