import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3'

// The SDK has no paginators for these two operations, which continue with two markers instead of one token.

/** The bucket and key prefix to list. */
type Listing = { Bucket: string; Prefix: string }

/** Lists the versions and delete markers of all keys with a prefix, page by page. */
export async function* paginateObjectVersions(
  { client }: { client: S3Client },
  listing: Listing,
): AsyncGenerator<ListObjectVersionsCommandOutput> {
  let page: ListObjectVersionsCommandOutput | undefined
  do {
    page = await client.send(
      new ListObjectVersionsCommand({
        ...listing,
        KeyMarker: page?.NextKeyMarker,
        VersionIdMarker: page?.NextVersionIdMarker,
      }),
    )
    yield page
  } while (page.IsTruncated)
}

/**
 * Lists the open multipart uploads of all keys with a prefix, page by page.
 *
 * @param listing.KeyMarker lists only the keys after this one
 */
export async function* paginateMultipartUploads(
  { client }: { client: S3Client },
  listing: Listing & { KeyMarker?: string; MaxUploads?: number },
): AsyncGenerator<ListMultipartUploadsCommandOutput> {
  let page: ListMultipartUploadsCommandOutput | undefined
  do {
    page = await client.send(
      new ListMultipartUploadsCommand({
        ...listing,
        KeyMarker: page ? page.NextKeyMarker : listing.KeyMarker,
        UploadIdMarker: page?.NextUploadIdMarker,
      }),
    )
    yield page
  } while (page.IsTruncated)
}
