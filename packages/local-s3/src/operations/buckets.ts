import { openRequestBody } from '../bodies/request-body.ts'
import { localOwner } from '../protocol/local-account.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import { childText, parseXmlBody } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import { type BucketTable, toVersioning } from '../storage/bucket-table.ts'
import type { DiskSpace } from '../storage/disk-space.ts'

/** Checks the rules for names of general purpose buckets (S3 user guide, "Bucket naming rules"). */
function isBucketName(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !/\.\.|\.-|-\./.test(name) &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name) &&
    !/^(xn--|sthree-|amzn-s3-demo-)/.test(name) &&
    !/(-s3alias|--ol-s3|--x-s3|\.mrap)$/.test(name)
  )
}

/** CreateBucket, HeadBucket, ListBuckets, DeleteBucket, GetBucketLocation, GetBucketVersioning and PutBucketVersioning. */
export function createBuckets(deps: {
  buckets: BucketTable
  diskSpace: DiskSpace
  region: string
  bodyTimeoutMs: number
}) {
  const { buckets, diskSpace, region, bodyTimeoutMs } = deps

  /** @throws S3Error IllegalLocationConstraintException for another region */
  function checkLocation(xml: Buffer) {
    if (xml.length === 0) {
      if (region !== 'us-east-1')
        throw new S3Error(
          'IllegalLocationConstraintException',
          'The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.',
        )
      return
    }
    const location = childText(parseXmlBody(xml, 'CreateBucketConfiguration'), 'LocationConstraint')
    if ((location ?? 'us-east-1') !== region) {
      throw new S3Error(
        'IllegalLocationConstraintException',
        `The ${location} location constraint is incompatible for the region specific endpoint this request was sent to.`,
      )
    }
  }

  return {
    async createBucket({ exchange, signature }: VerifiedRequest) {
      const { bucket, headers } = exchange
      if (!isBucketName(bucket)) throw new S3Error('InvalidBucketName', undefined, { BucketName: bucket })
      const hasGrant = Object.keys(headers).some((name) => name.startsWith('x-amz-grant-'))
      if (hasGrant || (headers['x-amz-acl'] ?? 'private') !== 'private') {
        throw new S3Error('InvalidBucketAclWithObjectOwnership')
      }
      const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
      checkLocation(
        hasBody
          ? await openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs }).xml()
          : Buffer.alloc(0),
      )
      buckets.create(bucket)
      exchange.send(200, { location: `/${bucket}` })
    },

    /** Fails while the disk is full, unlike on AWS, whose disks have no end: it is what readiness checks ask. */
    async headBucket({ exchange }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      await diskSpace.require()
      exchange.send(200, { 'x-amz-bucket-region': region, 'content-type': 'application/xml' })
    },

    async listBuckets({ exchange }: VerifiedRequest) {
      const prefix = exchange.query('prefix') ?? ''
      const limit = readBucketLimit(exchange)
      const after = readBucketToken(exchange)
      const isListed =
        exchange.query('bucket-region') === undefined || exchange.query('bucket-region') === region
      const found = buckets.list().filter(({ name }) => isListed && name.startsWith(prefix) && name > after)
      const page = found.slice(0, limit)
      const last = found.length > page.length ? page.at(-1) : undefined
      exchange.sendXml(200, 'ListAllMyBucketsResult', {
        Owner: localOwner,
        Buckets: {
          Bucket: page.map(({ name, createdAt }) => ({
            Name: name,
            CreationDate: new Date(createdAt).toISOString(),
            BucketRegion: region,
          })),
        },
        ContinuationToken: last && Buffer.from(last.name).toString('base64url'),
        Prefix: exchange.query('prefix'),
      })
    },

    /** The location of us-east-1 is empty, for clients from before S3 had regions. */
    async getBucketLocation({ exchange }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      exchange.sendXml(200, 'LocationConstraint', region === 'us-east-1' ? '' : region)
    },

    async deleteBucket({ exchange }: VerifiedRequest) {
      buckets.delete(exchange.bucket)
      exchange.send(204)
    },

    async getBucketVersioning({ exchange }: VerifiedRequest) {
      const { versioning } = buckets.require(exchange.bucket)
      exchange.sendXml(200, 'VersioningConfiguration', {
        Status: versioning,
      })
    },

    async putBucketVersioning({ exchange, signature }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      const root = parseXmlBody(await body.xml(), 'VersioningConfiguration')
      if (childText(root, 'MfaDelete') === 'Enabled') {
        throw new S3Error('NotImplemented', 'MfaDelete is not implemented.')
      }
      const status = toVersioning(childText(root, 'Status'))
      if (status === undefined) throw new S3Error('IllegalVersioningConfigurationException')
      buckets.configure(exchange.bucket, 'versioning', status)
      exchange.send(200)
    },
  }
}

/** S3's maximum of ListBuckets, and what it lists without a limit. */
const maxBuckets = 10_000

/** @throws S3Error InvalidArgument */
function readBucketLimit(exchange: S3Exchange): number {
  const value = exchange.query('max-buckets')
  if (value === undefined) return maxBuckets
  const limit = Number(value)
  if (/^\d{1,5}$/.test(value) && limit >= 1 && limit <= maxBuckets) return limit
  throw new S3Error(
    'InvalidArgument',
    `Argument max-buckets must be an integer between 1 and ${maxBuckets}`,
    {
      ArgumentName: 'max-buckets',
      ArgumentValue: value,
    },
  )
}

/**
 * Returns the name of the last bucket of the previous page, empty for the first page.
 * @throws S3Error InvalidArgument
 */
function readBucketToken(exchange: S3Exchange): string {
  const token = exchange.query('continuation-token')
  if (token === undefined) return ''
  const name = Buffer.from(token, 'base64url').toString('utf8')
  if (isBucketName(name)) return name
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', {
    ArgumentName: 'continuation-token',
  })
}
