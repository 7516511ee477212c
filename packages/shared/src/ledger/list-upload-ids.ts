import { ListObjectsV2Command, type ListObjectsV2CommandOutput, type S3Client } from '@aws-sdk/client-s3'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { largestUploadId, smallestUploadId, uploadIdTimeMs } from '../uploads/upload-id.ts'
import {
  manifestsPrefix,
  originalsPrefix,
  parseAnnouncementKey,
  parseManifestKey,
  parseOriginalKey,
  unfinishedPrefix,
} from './object-keys.ts'

const hourMs = 60 * 60 * 1000
/** The first window, in ms. */
const firstWidthMs = hourMs
/** A window that grows wider than this reaches back to the first upload, in ms. */
const maxWidthMs = 365 * 24 * hourMs
/** How many keys one listing returns: S3's limit. */
const defaultPageSize = 1000
/** How much narrower a window is than one that had too many ids. */
const narrowBy = 32
/** Limits of how much narrower or wider the next window is. */
const minChange = 1 / 4
const maxChange = 8

/** A range of time: all its ids, newest first. `from` is its start: the smallest id of it, or empty for no start. */
export type IdWindow = { ids: string[]; from: string }

/** The kinds of objects that prove an upload. A rejected one may have only a manifest, one in parts an announcement. */
const kinds = [
  { prefix: originalsPrefix, parse: parseOriginalKey },
  { prefix: manifestsPrefix, parse: parseManifestKey },
  { prefix: unfinishedPrefix, parse: parseAnnouncementKey },
]

/**
 * Lists the ids of an owner's uploads from S3, newest first. S3 lists keys in ascending order only, so windows of time
 * are listed, from the newest back: the key after which a listing starts is that of the smallest id of a time. The width
 * of the windows follows the number of ids in them.
 *
 * @param deps.pageSize how many keys one listing returns
 */
export function createListUploadIds(deps: { s3: S3Client; bucket: string; pageSize?: number }) {
  const { s3, bucket, pageSize = defaultPageSize } = deps
  /** How many ids a window should have: less than a listing returns, so that few windows have too many. */
  const idsPerWindow = pageSize / 2

  /**
   * Yields windows without gaps.
   *
   * @param options.before excludes this id and all newer ones; undefined: begins with the newest. If the owner has few
   *   uploads, all of them are then one window, for three requests
   * @param options.maxRounds ends after this many rounds of three requests. A window is found within 10 rounds
   */
  return async function* listUploadIds(
    owner: string,
    options: { before?: string | undefined; maxRounds?: number } = {},
  ): AsyncGenerator<IdWindow, undefined> {
    const { before, maxRounds = Number.POSITIVE_INFINITY } = options
    let end = before ?? largestUploadId
    let widthMs = firstWidthMs
    let rounds = 0
    if (before === undefined) {
      const ids = await listWindow(owner, { fromMs: 0, before: end, whole: false })
      if (ids) {
        yield { ids, from: '' }
        return
      }
      rounds += 1
    }
    for (; rounds < maxRounds; rounds++) {
      // No upload is from the future, whatever a cursor says.
      const endMs = Math.min(timeAfter(end), Date.now() + 1)
      const fromMs = Math.max(0, endMs - widthMs)
      const ids = await listWindow(owner, { fromMs, before: end, whole: endMs - fromMs <= 1 })
      if (!ids) {
        widthMs = Math.max(1, Math.floor((endMs - fromMs) / narrowBy))
        continue
      }
      if (fromMs === 0) {
        yield { ids, from: '' }
        return
      }
      end = smallestUploadId(fromMs)
      yield { ids, from: end }
      const change = Math.min(maxChange, Math.max(minChange, idsPerWindow / Math.max(1, ids.length)))
      const nextMs = Math.max(1, Math.round(widthMs * change))
      widthMs = nextMs > maxWidthMs ? Number.POSITIVE_INFINITY : nextMs
    }
  }

  /**
   * Lists the ids of a window, newest first.
   * @param window.whole lists all ids, however many there are
   * @returns undefined if there are more than one listing returns
   */
  async function listWindow(
    owner: string,
    { fromMs, before, whole }: { fromMs: number; before: string; whole: boolean },
  ): Promise<string[] | undefined> {
    const ids = new Set<string>()
    const listings = await Promise.all(
      kinds.map(async ({ prefix, parse }) => {
        const ownerPrefix = `${prefix}${owner}/`
        let page: ListObjectsV2CommandOutput | undefined
        do {
          page = await s3.send(
            new ListObjectsV2Command({
              Bucket: bucket,
              Prefix: ownerPrefix,
              // Without the random digits, so that the smallest id itself follows.
              ...(fromMs > 0 && { StartAfter: `${ownerPrefix}${smallestUploadId(fromMs).slice(0, 13)}` }),
              MaxKeys: pageSize,
              ContinuationToken: page?.NextContinuationToken,
            }),
          )
          const keys = (page.Contents ?? []).map(({ Key = '' }) => Key)
          for (const { id } of keys.map(parse).filter(isAddress)) if (id < before) ids.add(id)
          if (!page.IsTruncated || (keys.at(-1) ?? '') >= `${ownerPrefix}${before}`) return true
        } while (whole)
        return false
      }),
    )
    return listings.every((isWhole) => isWhole) ? [...ids].sort().reverse() : undefined
  }
}

export type ListUploadIds = ReturnType<typeof createListUploadIds>

/** Returns the first ms after all ids that are smaller than this one. */
function timeAfter(id: string): number {
  const timeMs = uploadIdTimeMs(id)
  return id === smallestUploadId(timeMs) ? timeMs : timeMs + 1
}

function isAddress(address: UploadAddress | undefined): address is UploadAddress {
  return address !== undefined
}
