import { localAccount } from './local-account.ts'
import { S3Error } from './s3-error.ts'
import type { S3Operation } from './s3-operations.ts'

/** What reads headers: an operation, the request of a form, or a form's fields, which stand for headers. */
type Reader = S3Operation | 'postObject' | 'formFields'

type Honoured = {
  /** Who reads the header; `all` if it has no effect or the same effect everywhere. */
  by: 'all' | readonly Reader[]
  /** The only values that this server can honour. Without it the reader checks the value. */
  values?: RegExp
}

const reads: readonly Reader[] = ['getObject', 'headObject']
const creations: readonly Reader[] = ['putObject', 'copyObject', 'createMultipartUpload']
const copies: readonly Reader[] = ['copyObject', 'uploadPartCopy']
const conditionalWrites: readonly Reader[] = ['putObject', 'copyObject', 'completeMultipartUpload']
const listings: readonly Reader[] = ['listObjects', 'listObjectsV2', 'listObjectVersions']
const aclReaders: readonly Reader[] = ['formFields', 'createBucket', 'putBucketAcl', 'putObjectAcl']
const everywhere: Honoured = { by: 'all' }

/**
 * The headers that this server honours. A header that starts with `x-amz-` or has to do with conditions, and is not
 * here for its operation, is 501 NotImplemented: to ignore it would do something else than the client asked for
 * (a delete without its condition, an object without its lock). A name that ends with `*` stands for all with that
 * start. Names that are missing here on purpose: those of object lock, MFA delete, website redirects, KMS and
 * customer keys, archives, appends (`x-amz-write-offset-bytes`), renames, and conditions of directory buckets.
 */
const honouredHeaders: Readonly<Record<string, Honoured>> = {
  // Signing and transfer. Checksums of bodies are read where there is a body, and mean nothing elsewhere.
  'x-amz-content-sha256': everywhere,
  'x-amz-date': everywhere,
  'x-amz-decoded-content-length': everywhere,
  'x-amz-security-token': everywhere,
  'x-amz-trailer': everywhere,
  'x-amz-checksum-*': everywhere,
  'x-amz-sdk-*': everywhere,
  'x-amz-user-agent': everywhere,
  // No effect on AWS either, where an operation does not write an object.
  'x-amz-meta-*': everywhere,
  // Checked below, before any operation.
  'x-amz-expected-bucket-owner': everywhere,
  'x-amz-source-expected-bucket-owner': { by: copies },
  // On AWS it only matters for a bucket whose requesters pay.
  'x-amz-request-payer': { by: 'all', values: /^requester$/ },

  // object-description.ts checks their values.
  'x-amz-acl': { by: [...creations, ...aclReaders] },
  'x-amz-grant-*': { by: [...creations, ...aclReaders] },
  'x-amz-server-side-encryption': { by: [...creations, 'formFields'] },
  'x-amz-storage-class': { by: [...creations, 'formFields'] },
  'x-amz-tagging': { by: creations },
  'x-amz-tagging-directive': { by: ['copyObject'] },
  'x-amz-metadata-directive': { by: ['copyObject'] },
  'x-amz-copy-source': { by: copies },
  'x-amz-copy-source-if-match': { by: copies },
  'x-amz-copy-source-if-none-match': { by: copies },
  'x-amz-copy-source-if-modified-since': { by: copies },
  'x-amz-copy-source-if-unmodified-since': { by: copies },
  'x-amz-copy-source-range': { by: ['uploadPartCopy'] },
  'x-amz-mp-object-size': { by: ['completeMultipartUpload'] },
  'x-amz-skip-destination-validation': { by: ['putBucketNotificationConfiguration'] },
  'x-amz-bucket-object-lock-enabled': { by: ['createBucket'], values: /^false$/i },
  'x-amz-object-ownership': { by: ['createBucket'], values: /^BucketOwnerEnforced$/ },
  // No object here is ever archived, so a listing has no restore status to add.
  'x-amz-optional-object-attributes': { by: listings, values: /^RestoreStatus$/ },
  // The signature of a form.
  'x-amz-algorithm': { by: ['formFields'] },
  'x-amz-credential': { by: ['formFields'] },
  'x-amz-signature': { by: ['formFields'] },

  'if-match': { by: [...reads, ...conditionalWrites, 'deleteObject'] },
  'if-none-match': { by: [...reads, ...conditionalWrites] },
  'if-modified-since': { by: reads },
  'if-unmodified-since': { by: reads },
}

/** Headers without `x-amz-` whose loss would change what a request does. */
const standardHeaders = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'content-range',
]

const prefixes = Object.keys(honouredHeaders)
  .filter((name) => name.endsWith('*'))
  .map((name) => name.slice(0, -1))

/**
 * Checks that an operation honours all headers of its request.
 *
 * @param headers lower-case names; for `formFields` the fields of a form
 * @throws S3Error NotImplemented, InvalidArgument (encryption of a read or of a part), AccessDenied and
 * InvalidBucketOwnerAWSAccountID (the bucket is expected to belong to another account)
 */
export function checkRequestHeaders(headers: Readonly<Record<string, string>>, reader: Reader) {
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('x-amz-') && !standardHeaders.includes(name)) continue
    const prefix = prefixes.find((candidate) => name.startsWith(candidate))
    const honoured = honouredHeaders[prefix === undefined ? name : `${prefix}*`]
    const isHonoured =
      honoured !== undefined &&
      (honoured.by === 'all' || honoured.by.includes(reader)) &&
      (honoured.values?.test(value) ?? true)
    if (isHonoured) continue
    if (name === 'x-amz-server-side-encryption') {
      throw new S3Error('InvalidArgument', `${name} header is not supported for this operation.`, {
        ArgumentName: name,
        ArgumentValue: value,
      })
    }
    throw headerNotImplemented(name)
  }
  checkBucketOwner(headers, reader)
}

/** The response to a header that implies what this server does not have. */
export function headerNotImplemented(name: string): S3Error {
  return new S3Error(
    'NotImplemented',
    `A header you provided implies functionality that is not implemented: ${name}`,
    { Header: name },
  )
}

/** All buckets here belong to one account. CreateBucket and ListBuckets ignore the header, as on AWS. */
function checkBucketOwner(headers: Readonly<Record<string, string>>, reader: Reader) {
  if (reader === 'createBucket' || reader === 'listBuckets') return
  for (const name of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
    const owner = headers[name]
    if (owner === undefined || owner === localAccount) continue
    if (/^\d{12}$/.test(owner)) throw new S3Error('AccessDenied')
    throw new S3Error(
      'InvalidBucketOwnerAWSAccountID',
      `The value of the expected bucket owner parameter must be an AWS Account ID... [${owner}]`,
    )
  }
}
