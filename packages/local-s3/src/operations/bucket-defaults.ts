import { localOwner } from '../protocol/local-account.ts'
import { S3Error, type S3ErrorCode } from '../protocol/s3-error.ts'
import type { XmlTree } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { requireVersion } from './require-version.ts'

/** The ACL of everything here: buckets enforce their owner, who has all rights. */
const ownerOnly = {
  Owner: localOwner,
  AccessControlList: {
    Grant: {
      Grantee: {
        '@xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
        '@xsi:type': 'CanonicalUser',
        ...localOwner,
      },
      Permission: 'FULL_CONTROL',
    },
  },
}

/**
 * The configurations that a bucket here can never have. S3 tools read them before they list or copy, and expect the
 * response for a new bucket: S3's error for a configuration that is not set, or its default.
 */
export function createBucketDefaults(deps: { buckets: BucketTable; objects: ObjectTable }) {
  const { buckets, objects } = deps

  const refuseWith =
    (code: S3ErrorCode) =>
    async ({ exchange }: VerifiedRequest) => {
      buckets.require(exchange.bucket)
      throw new S3Error(code, undefined, { BucketName: exchange.bucket })
    }

  const defaultOf =
    (root: string, tree: XmlTree) =>
    async ({ exchange }: VerifiedRequest) => {
      buckets.require(exchange.bucket)
      exchange.sendXml(200, root, tree)
    }

  /** @throws S3Error InvalidRequest: the bucket has no object lock */
  async function withoutObjectLock({ exchange }: VerifiedRequest) {
    requireVersion(exchange, { buckets, objects })
    throw new S3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration')
  }

  return {
    getBucketPolicy: refuseWith('NoSuchBucketPolicy'),
    getBucketPolicyStatus: refuseWith('NoSuchBucketPolicy'),
    getBucketTagging: refuseWith('NoSuchTagSet'),
    getBucketLifecycleConfiguration: refuseWith('NoSuchLifecycleConfiguration'),
    getBucketWebsite: refuseWith('NoSuchWebsiteConfiguration'),
    getBucketReplication: refuseWith('ReplicationConfigurationNotFoundError'),
    getObjectLockConfiguration: refuseWith('ObjectLockConfigurationNotFoundError'),

    getBucketAcl: defaultOf('AccessControlPolicy', ownerOnly),
    getBucketEncryption: defaultOf('ServerSideEncryptionConfiguration', {
      Rule: {
        ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' },
        BucketKeyEnabled: false,
      },
    }),
    getPublicAccessBlock: defaultOf('PublicAccessBlockConfiguration', {
      BlockPublicAcls: true,
      IgnorePublicAcls: true,
      BlockPublicPolicy: true,
      RestrictPublicBuckets: true,
    }),
    getBucketOwnershipControls: defaultOf('OwnershipControls', {
      Rule: { ObjectOwnership: 'BucketOwnerEnforced' },
    }),
    getBucketRequestPayment: defaultOf('RequestPaymentConfiguration', { Payer: 'BucketOwner' }),
    getBucketLogging: defaultOf('BucketLoggingStatus', {}),
    getBucketAccelerateConfiguration: defaultOf('AccelerateConfiguration', {}),

    putBucketAcl: refuseWith('AccessControlListNotSupported'),
    putObjectAcl: refuseWith('AccessControlListNotSupported'),
    async getObjectAcl({ exchange }: VerifiedRequest) {
      requireVersion(exchange, { buckets, objects })
      exchange.sendXml(200, 'AccessControlPolicy', ownerOnly)
    },
    getObjectRetention: withoutObjectLock,
    getObjectLegalHold: withoutObjectLock,
  }
}
