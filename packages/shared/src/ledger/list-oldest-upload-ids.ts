import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import type { UploadAddress } from '../uploads/upload-address.ts'
import {
  manifestsPrefix,
  originalsPrefix,
  parseAnnouncementKey,
  parseManifestKey,
  parseOriginalKey,
  unfinishedPrefix,
} from './object-keys.ts'

/** How many keys one listing returns: S3's limit. */
const defaultPageSize = 1000

/** The ids of a range without gaps, in ascending order. `upTo` is its end, included; undefined: nothing newer follows. */
export type IdRun = { ids: string[]; upTo: string | undefined }

/** The kinds of objects that prove an upload, as in `list-upload-ids.ts`. */
const kinds = [
  { prefix: originalsPrefix, parse: parseOriginalKey },
  { prefix: manifestsPrefix, parse: parseManifestKey },
  { prefix: unfinishedPrefix, parse: parseAnnouncementKey },
]

/**
 * Lists the ids of an owner's uploads from S3, oldest first: the order in which S3 lists keys. The listings of all kinds are
 * read side by side, and a run ends where the shortest of their pages ends.
 *
 * @param deps.pageSize how many keys one listing returns
 */
export function createListOldestUploadIds(deps: { s3: S3Client; bucket: string; pageSize?: number }) {
  const { s3, bucket, pageSize = defaultPageSize } = deps

  /**
   * Yields runs without gaps.
   *
   * @param options.after excludes this id and all older ones; undefined: begins with the oldest
   * @param options.before excludes this id and all newer ones
   * @param options.maxRounds ends after this many rounds of three requests
   */
  return async function* listOldestUploadIds(
    owner: string,
    options: { after: string | undefined; before: string | undefined; maxRounds: number },
  ): AsyncGenerator<IdRun, undefined> {
    const { before, maxRounds } = options
    let { after } = options
    for (let round = 0; round < maxRounds; round++) {
      const pages = await Promise.all(kinds.map((kind) => listPage(owner, kind, after)))
      const [end] = pages.flatMap(({ upTo }) => (upTo === undefined ? [] : [upTo])).sort()
      const isLast = end === undefined || (before !== undefined && end >= before)
      const ids = new Set(pages.flatMap((page) => page.ids))
      const taken = [...ids].filter(
        (id) =>
          (after === undefined || id > after) &&
          (end === undefined || id <= end) &&
          (before === undefined || id < before),
      )
      yield { ids: taken.sort(), upTo: isLast ? undefined : end }
      if (isLast) return
      after = end
    }
  }

  /** @returns ids of one kind, and the id up to which all are among them; undefined: these are all */
  async function listPage(
    owner: string,
    { prefix, parse }: (typeof kinds)[number],
    after: string | undefined,
  ): Promise<IdRun> {
    const ownerPrefix = `${prefix}${owner}/`
    let startAfter = `${ownerPrefix}${after ?? ''}`
    for (;;) {
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: ownerPrefix,
          StartAfter: startAfter,
          MaxKeys: pageSize,
        }),
      )
      const keys = (page.Contents ?? []).map(({ Key = '' }) => Key)
      const ids = keys
        .map(parse)
        .filter(isAddress)
        .map(({ id }) => id)
      if (!page.IsTruncated) return { ids, upTo: undefined }
      const upTo = ids.at(-1)
      if (upTo !== undefined && upTo !== after) return { ids, upTo }
      // Only keys of another kind, such as unfinished bytes.
      startAfter = keys.at(-1) ?? startAfter
    }
  }
}

export type ListOldestUploadIds = ReturnType<typeof createListOldestUploadIds>

function isAddress(address: UploadAddress | undefined): address is UploadAddress {
  return address !== undefined
}
