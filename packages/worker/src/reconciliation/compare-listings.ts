import type { S3Client } from '@aws-sdk/client-s3'
import {
  manifestsPrefix,
  originalsPrefix,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { type ListedObject, listPage } from './list-page.ts'

/** An upload of which S3 has an original, a manifest, or both. */
export type ListedUpload = UploadAddress & {
  original: ListedObject | undefined
  manifest: ListedObject | undefined
}

/**
 * All uploads that S3 has between two positions, in the order of positions. A position is a key without its prefix and
 * suffix, usually `{owner}/{id}`.
 *
 *   after   excluded; '' is the start
 *   upTo    included; undefined is the end of the bucket
 */
export type ListedRange = { after: string; upTo: string | undefined; uploads: ListedUpload[] }

type Entry = { position: string; address: UploadAddress; object: ListedObject }

/**
 * Lists originals and manifests side by side. Each range ends where the shorter of both pages ends, so at most two pages
 * are in memory.
 *
 * @param options.after the position after which it begins
 * @param options.nextPage called before each page; may throw to end the listing
 */
export async function* compareListings(options: {
  s3: S3Client
  bucket: string
  after: string
  nextPage: () => Promise<void>
}): AsyncGenerator<ListedRange> {
  const originals = createReader(options, originalsPrefix, '', parseOriginalKey)
  const manifests = createReader(options, manifestsPrefix, '.json', parseManifestKey)
  let after = options.after
  for (;;) {
    await originals.readBeyond(after)
    await manifests.readBeyond(after)
    const upTo = earlier(originals.end(), manifests.end())
    const uploads = new Map<string, ListedUpload>()
    for (const { position, address, object } of originals.take(upTo)) {
      uploads.set(position, { ...address, original: object, manifest: undefined })
    }
    for (const { position, address, object } of manifests.take(upTo)) {
      uploads.set(position, { ...address, original: uploads.get(position)?.original, manifest: object })
    }
    yield { after, upTo, uploads: [...uploads.values()] }
    if (upTo === undefined) return
    after = upTo
  }
}

/** Reads one listing. Keys that are not ours are skipped. */
function createReader(
  options: { s3: S3Client; bucket: string; after: string; nextPage: () => Promise<void> },
  prefix: string,
  suffix: string,
  parse: (key: string) => UploadAddress | undefined,
) {
  let entries: Entry[] = []
  /** The position up to which the listing was read; undefined: to its end. */
  let end: string | undefined = options.after
  // Without the suffix: the key at this position may come again, and is skipped below.
  let lastKey = `${prefix}${options.after}`
  const positionOf = (key: string) =>
    key.slice(prefix.length, key.endsWith(suffix) ? key.length - suffix.length : undefined)

  return {
    end: () => end,

    /** Reads pages until the listing is known beyond a position. */
    async readBeyond(position: string): Promise<void> {
      while (end !== undefined && end <= position) {
        await options.nextPage()
        const page = await listPage(options, { prefix, after: lastKey })
        for (const object of page.objects) {
          const address = parse(object.key)
          const found = positionOf(object.key)
          if (address && found > position) entries.push({ position: found, address, object })
        }
        if (page.lastKey !== undefined) lastKey = page.lastKey
        end = page.lastKey === undefined ? undefined : positionOf(page.lastKey)
      }
    },

    /** Removes and returns the entries up to a position. */
    take(upTo: string | undefined): Entry[] {
      const isTaken = ({ position }: Entry) => upTo === undefined || position <= upTo
      const taken = entries.filter(isTaken)
      entries = entries.filter((entry) => !isTaken(entry))
      return taken
    },
  }
}

/** Returns the earlier of two positions, of which undefined is the end. S3 sorts keys by their bytes; ours are ASCII. */
function earlier(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined) return other
  if (other === undefined) return one
  return one < other ? one : other
}
