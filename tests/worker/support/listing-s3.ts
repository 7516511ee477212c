import { type _Object, type CommonPrefix, type MultipartUpload, S3Client } from '@aws-sdk/client-s3'

/** What a bucket has. Dates are those of objects by their key; others are of 1970. */
export type Listed = {
  keys?: readonly string[]
  /** Keys of open multipart uploads. A key may have several. */
  multipart?: readonly string[]
  dates?: ReadonlyMap<string, number>
  /** How many keys, prefixes or multipart uploads a page has. By default S3's own 1,000. */
  pageSize?: number
}

/** A client whose listings are answered from lists, in the order and in the pages of S3. It has no other requests. */
export function createListingS3({ keys = [], multipart = [], dates = new Map(), pageSize = 1000 }: Listed) {
  const s3 = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  const [sortedKeys, sortedUploads] = [sorted(keys), sorted(multipart)]
  let pages = 0

  function listObjects(prefix: string, after: string) {
    const rest = sortedKeys.filter((key) => key.startsWith(prefix) && key > after)
    const Contents = rest
      .slice(0, pageSize)
      .map((Key): _Object => ({ Key, ETag: `"${Key}"`, LastModified: new Date(dates.get(Key) ?? 0) }))
    return { Contents, IsTruncated: rest.length > pageSize }
  }

  /** Prefixes up to the next slash. They are compared with the key after which the page begins as keys are. */
  function listPrefixes(prefix: string, after: string) {
    const all = sortedKeys.filter((key) => key.startsWith(prefix))
    const prefixes = new Set(all.map((key) => key.slice(0, key.indexOf('/', prefix.length) + 1)))
    const rest = [...prefixes].filter((found) => found > after)
    const page = rest.slice(0, pageSize)
    const CommonPrefixes = page.map((Prefix): CommonPrefix => ({ Prefix }))
    const IsTruncated = rest.length > pageSize
    return { CommonPrefixes, IsTruncated, ...(IsTruncated && { NextContinuationToken: page.at(-1) }) }
  }

  function listUploads(prefix: string, after: string) {
    const rest = sortedUploads.filter((key) => key.startsWith(prefix) && key > after)
    const Uploads = rest.slice(0, pageSize).map((Key): MultipartUpload => ({ Key }))
    return { Uploads, IsTruncated: rest.length > pageSize }
  }

  s3.middlewareStack.add(
    (_, context) => async (args) => {
      pages += 1
      const input: Record<string, unknown> = { ...args.input }
      const text = (name: string) => String(input[name] ?? '')
      const after = text('ContinuationToken') || text('StartAfter') || text('KeyMarker')
      const list =
        context['commandName'] === 'ListMultipartUploadsCommand'
          ? listUploads
          : input['Delimiter'] === undefined
            ? listObjects
            : listPrefixes
      return { response: {}, output: { $metadata: {}, ...list(text('Prefix'), after) } }
    },
    { step: 'initialize' },
  )
  return { s3, pages: () => pages }
}

function sorted(keys: readonly string[]): string[] {
  return keys.toSorted((one, other) => (one < other ? -1 : 1))
}
