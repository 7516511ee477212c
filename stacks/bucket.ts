import {
  erasuresPrefix,
  originalsPrefix,
  outboxPrefix,
  unfinishedPrefix,
  variantsPrefix,
  webhooksPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { erasureMarkerLifeMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

const dayMs = 24 * 60 * 60 * 1000

/** S3 keeps and bills the parts of an upload that no client completed, until the upload can no longer be resumed. */
const abortMultipartDays = openUploadLifeMs / dayMs

/**
 * Creates the ledger: a private, versioned bucket that accepts TLS only and is encrypted with the region's key.
 *
 * @param options.origins origins of pages that may send files to the bucket and read its responses (CORS)
 * @param options.cloudFrontOf the account whose CloudFront distributions may read variants
 */
export function createBucket(options: {
  place: Place
  key: EncryptionKey
  origins: $util.Input<$util.Input<string>[]>
  settings: Pick<Settings, 'keep' | 'originals' | 'noncurrentDays'>
  cloudFrontOf: $util.Input<string> | undefined
}) {
  const { place, key, origins, settings, cloudFrontOf } = options
  const { id } = place
  const bucket = new sst.aws.Bucket(
    id('Ledger'),
    {
      versioning: true,
      enforceHttps: true,
      // Not `access: 'cloudfront'`: it allows distributions of any account to read everything.
      ...(cloudFrontOf && { policy: [allowCloudFront(cloudFrontOf)] }),
      cors: {
        allowOrigins: origins,
        allowMethods: ['GET', 'HEAD', 'POST', 'PUT'],
        allowHeaders: ['*'],
        // A page needs ETag to complete a multipart upload. Uppy 5 reports an error if a form's response has no Location.
        exposeHeaders: ['ETag', 'Location'],
        maxAge: '1 hour',
      },
      transform: { bucket: { forceDestroy: !settings.keep } },
    },
    { ...place.options, retainOnDelete: settings.keep },
  )
  new aws.s3.BucketServerSideEncryptionConfiguration(
    id('LedgerEncryption'),
    {
      bucket: bucket.name,
      rules: [
        {
          applyServerSideEncryptionByDefault: { sseAlgorithm: 'aws:kms', kmsMasterKeyId: key.arn },
          // Then S3 needs one KMS request for many objects.
          bucketKeyEnabled: true,
        },
      ],
    },
    place.options,
  )
  new aws.s3.BucketOwnershipControls(
    id('LedgerOwnership'),
    { bucket: bucket.name, rule: { objectOwnership: 'BucketOwnerEnforced' } },
    place.options,
  )
  new aws.s3.BucketLifecycleConfiguration(
    id('LedgerLifecycle'),
    {
      bucket: bucket.name,
      rules: [...lifecycleRules(settings), expireErasureMarkers],
    },
    place.options,
  )
  return bucket
}

export type Bucket = ReturnType<typeof createBucket>

/** Allows CloudFront distributions of one account to read variants. */
function allowCloudFront(accountId: $util.Input<string>) {
  return {
    principals: [{ type: 'service' as const, identifiers: ['cloudfront.amazonaws.com'] }],
    actions: ['s3:GetObject'],
    paths: [`${variantsPrefix}*`],
    conditions: [
      {
        test: 'ArnLike',
        variable: 'aws:SourceArn',
        values: [$interpolate`arn:aws:cloudfront::${accountId}:distribution/*`],
      },
    ],
  }
}

/** Expires erasure markers. In a versioned bucket this leaves a delete marker, which the rule for those removes. */
const expireErasureMarkers = {
  id: 'expire-erasure-markers',
  status: 'Enabled',
  filter: { prefix: erasuresPrefix },
  expiration: { days: erasureMarkerLifeMs / dayMs },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/**
 * Expires unfinished bytes and announcements a day after their uploads, in case no worker erased them. Both are replaced
 * or deleted often, so their noncurrent versions are not kept.
 */
const expireUnfinished = {
  id: 'expire-unfinished',
  status: 'Enabled',
  filter: { prefix: unfinishedPrefix },
  expiration: { days: abortMultipartDays + 1 },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/**
 * Deletes replaced originals after a day. While its form is valid, a client can send a file again with other bytes, and S3
 * keeps and bills what they replaced. Nothing reads these versions.
 */
const expireReplacedOriginals = {
  id: 'expire-replaced-originals',
  status: 'Enabled',
  filter: { prefix: originalsPrefix },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/** Deletes delivered events after a day: there is one for each change of an upload, and it may name a file. */
const expireDeliveredEvents = {
  id: 'expire-delivered-events',
  status: 'Enabled',
  filter: { prefix: outboxPrefix },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/** Deletes the secrets of changed and deleted webhooks after a day. */
const expireChangedWebhooks = {
  id: 'expire-changed-webhooks',
  status: 'Enabled',
  filter: { prefix: webhooksPrefix },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

function lifecycleRules({ originals, noncurrentDays }: Pick<Settings, 'originals' | 'noncurrentDays'>) {
  const transitions = [
    { days: originals.instantRetrievalAfterDays, storageClass: 'GLACIER_IR' },
    { days: originals.deepArchiveAfterDays, storageClass: 'DEEP_ARCHIVE' },
  ].flatMap(({ days, storageClass }) => (days === undefined ? [] : [{ days, storageClass }]))
  return [
    {
      id: 'abort-incomplete-uploads',
      status: 'Enabled',
      filter: { prefix: '' },
      abortIncompleteMultipartUpload: { daysAfterInitiation: abortMultipartDays },
    },
    {
      id: 'expire-noncurrent-versions',
      status: 'Enabled',
      filter: { prefix: '' },
      noncurrentVersionExpiration: { noncurrentDays },
      expiration: { expiredObjectDeleteMarker: true },
    },
    expireUnfinished,
    expireReplacedOriginals,
    expireDeliveredEvents,
    expireChangedWebhooks,
    ...(transitions.length > 0
      ? [{ id: 'archive-originals', status: 'Enabled', filter: { prefix: originalsPrefix }, transitions }]
      : []),
  ]
}
