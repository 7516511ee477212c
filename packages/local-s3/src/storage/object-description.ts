import { type Checksum, checksumHeaders } from '../bodies/checksums.ts'
import { headerNotImplemented } from '../protocol/request-headers.ts'
import { S3Error } from '../protocol/s3-error.ts'

/** Headers that S3 stores with an object and returns with it. A signed GET can override them (`response-…`). */
export const storedHeaders = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
] as const
const maxUserMetadataBytes = 2048
const maxTags = 10

/** What is stored with an object besides its bytes. */
export type ObjectDescription = {
  /** Headers by lower-case name. */
  headers: Record<string, string>
  /** User metadata by lower-case name, without `x-amz-meta-`. */
  metadata: Record<string, string>
  tagCount: number
  /** Name and value of each tag. An object that an older version stored has only the count. */
  tags?: ObjectTags
  checksum?: Checksum
  /** The multipart upload that was completed as this object. */
  uploadId?: string
}

/**
 * Reads an object's description from the headers of a PutObject, CopyObject or CreateMultipartUpload, or from a form.
 * `checkRequestHeaders` has rejected the headers of features that this server does not have.
 *
 * @param headers lower-case header or form field names
 * @throws S3Error MetadataTooLarge, InvalidArgument, InvalidTag, NotImplemented, AccessControlListNotSupported,
 * InvalidStorageClass
 */
export function readObjectDescription(headers: Readonly<Record<string, string>>): ObjectDescription {
  if (Object.keys(headers).some((name) => name.startsWith('x-amz-grant-'))) {
    throw new S3Error('AccessControlListNotSupported')
  }
  // Buckets enforce their owner, as new ones do on AWS. Even `private` is rejected there (aws.s3, issue 435).
  const acl = headers['x-amz-acl'] ?? headers['acl']
  if (acl !== undefined && acl !== 'bucket-owner-full-control') {
    throw new S3Error('AccessControlListNotSupported')
  }
  const encryption = headers['x-amz-server-side-encryption']
  if (encryption !== undefined && encryption !== 'AES256') {
    throw headerNotImplemented('x-amz-server-side-encryption')
  }
  const storageClass = headers['x-amz-storage-class']
  if (storageClass !== undefined && storageClass !== 'STANDARD') {
    throw new S3Error('InvalidStorageClass', 'This server only has the storage class STANDARD.')
  }

  const stored: Record<string, string> = { 'content-type': 'binary/octet-stream' }
  for (const name of storedHeaders) {
    let value = headers[name]
    if (name === 'content-encoding') value = withoutAwsChunked(value)
    if (value !== undefined && value !== '') stored[name] = value
  }
  const metadata: Record<string, string> = {}
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('x-amz-meta-')) continue
    const metadataName = name.slice('x-amz-meta-'.length)
    // A form field can have any name, but only a valid header name can be returned (RFC 9110, token).
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(metadataName)) {
      throw new S3Error('InvalidArgument', 'The metadata name is not valid.', { ArgumentName: name })
    }
    metadata[metadataName] = value
    bytes += Buffer.byteLength(metadataName) + Buffer.byteLength(value)
  }
  if (bytes > maxUserMetadataBytes) {
    throw new S3Error('MetadataTooLarge', undefined, {
      Size: String(bytes),
      MaxSizeAllowed: String(maxUserMetadataBytes),
    })
  }
  const tags = readTags(headers['x-amz-tagging'])
  return { headers: stored, metadata, tagCount: tags.length, tags }
}

/** Removes `aws-chunked`: it is the coding of the request's body, not of the object. */
function withoutAwsChunked(encoding: string | undefined): string | undefined {
  return encoding
    ?.split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding.toLowerCase() !== 'aws-chunked')
    .join(',')
}

export type ObjectTags = [name: string, value: string][]

/** @throws S3Error BadRequest, InvalidTag */
function readTags(tagging: string | undefined): ObjectTags {
  return tagging === undefined ? [] : checkTags([...new URLSearchParams(tagging)])
}

/**
 * Checks the tags of an object.
 * @throws S3Error BadRequest, InvalidTag
 */
export function checkTags(tags: ObjectTags): ObjectTags {
  if (tags.length > maxTags) throw new S3Error('BadRequest', 'Object tags cannot be greater than 10')
  const names = new Set(tags.map(([name]) => name))
  if (names.size < tags.length)
    throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key')
  for (const [name, value] of tags) {
    if (name === '' || name.length > 128)
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid')
    if (value.length > 256) throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid')
  }
  return tags
}

/**
 * Returns the response headers of GetObject and HeadObject that come from the description.
 *
 * @param withChecksum whether the request has `x-amz-checksum-mode: ENABLED`
 */
export function descriptionHeaders(
  description: ObjectDescription,
  withChecksum: boolean,
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(description.headers)) headers[name] = headerSafe(value)
  for (const [name, value] of Object.entries(description.metadata))
    headers[`x-amz-meta-${name}`] = headerSafe(value)
  if (description.tagCount > 0) headers['x-amz-tagging-count'] = String(description.tagCount)
  return { ...headers, ...(withChecksum ? checksumHeaders(description.checksum) : {}) }
}

/** Encodes non-ASCII values as RFC 2047 encoded words, as S3 does. */
function headerSafe(value: string): string {
  return /^[\t\u0020-\u007e]*$/.test(value) ? value : `=?UTF-8?B?${Buffer.from(value).toString('base64')}?=`
}
