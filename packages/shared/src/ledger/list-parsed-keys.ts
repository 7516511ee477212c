import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'

/**
 * Lists keys of one form. Others below the prefix, such as those that S3's console makes for folders, do not count: a page
 * does not end at them.
 *
 * @param deps.bucket the bucket that is listed
 * @param page.after the key after which the page begins
 * @param page.limit the largest number of keys, at most 1,000
 * @param page.parse returns undefined for a key of another form
 * @returns what the keys were parsed to, in their order, and whether more may follow
 */
export async function listParsedKeys<Parsed>(
  { s3, bucket }: { s3: S3Client; bucket: string },
  page: {
    prefix: string
    after?: string | undefined
    limit: number
    parse: (key: string) => Parsed | undefined
  },
): Promise<{ found: Parsed[]; hasMore: boolean }> {
  const { prefix, after, limit, parse } = page
  const found: Parsed[] = []
  const listing = { Bucket: bucket, Prefix: prefix, ...(after !== undefined && { StartAfter: after }) }
  for await (const { Contents = [], IsTruncated = false } of paginateListObjectsV2(
    { client: s3, pageSize: limit },
    listing,
  )) {
    for (const { Key = '' } of Contents) {
      const parsed = parse(Key)
      if (parsed !== undefined) found.push(parsed)
    }
    if (found.length >= limit) {
      return { found: found.slice(0, limit), hasMore: IsTruncated || found.length > limit }
    }
  }
  return { found, hasMore: false }
}
