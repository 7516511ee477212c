import { erasedPrefix, originalsPrefix, variantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { erasureMarkerLifeMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

const dayMs = 24 * 60 * 60 * 1000

/** S3 keeps and bills the parts of an upload that no client completed, until the upload can no longer be resumed. */
const abortMultipartDays = openUploadLifeMs / dayMs

/**
 * The ledger: private, TLS only, encrypted by the region's key, versioned.
 *
 * @param options.origins pages that may send files to it and read its answers
 * @param options.isReplicated whether it and those of other regions copy to each other
 * @param options.cloudFrontOf the account whose CloudFront may read variants
 */
export function createBucket(options: {
  place: Place
  key: EncryptionKey
  origins: $util.Input<$util.Input<string>[]>
  settings: Pick<Settings, 'keep' | 'originals' | 'noncurrentDays'>
  isReplicated: boolean
  cloudFrontOf: $util.Input<string> | undefined
}) {
  const { place, key, origins, settings, isReplicated, cloudFrontOf } = options
  const { id } = place
  const bucket = new sst.aws.Bucket(
    id('Ledger'),
    {
      versioning: true,
      enforceHttps: true,
      // Not `access: 'cloudfront'`, which lets any distribution of anybody read everything.
      ...(cloudFrontOf && { policy: [deliverVariants(cloudFrontOf)] }),
      cors: {
        allowOrigins: origins,
        allowMethods: ['GET', 'HEAD', 'POST', 'PUT'],
        allowHeaders: ['*'],
        // Without ETag a page can't complete an upload in parts; Uppy 5 complains of a form without Location.
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
          // One request to KMS for many objects.
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
    { bucket: bucket.name, rules: [...lifecycleRules(settings), ...(isReplicated ? [forgetErasures] : [])] },
    place.options,
  )
  return bucket
}

export type Bucket = ReturnType<typeof createBucket>

function deliverVariants(accountId: $util.Input<string>) {
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

/** What regions tell each other of erasures: the expiry leaves a delete marker, which the rule for those takes away. */
const forgetErasures = {
  id: 'forget-erasures',
  status: 'Enabled',
  filter: { prefix: erasedPrefix },
  expiration: { days: erasureMarkerLifeMs / dayMs },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

function lifecycleRules({ originals, noncurrentDays }: Pick<Settings, 'originals' | 'noncurrentDays'>) {
  const transitions = [
    { days: originals.instantRetrievalAfterDays, storageClass: 'GLACIER_IR' },
    { days: originals.deepArchiveAfterDays, storageClass: 'DEEP_ARCHIVE' },
  ].flatMap(({ days, storageClass }) => (days === undefined ? [] : [{ days, storageClass }]))
  return [
    {
      id: 'forget-what-was-never-completed',
      status: 'Enabled',
      filter: { prefix: '' },
      abortIncompleteMultipartUpload: { daysAfterInitiation: abortMultipartDays },
    },
    {
      id: 'forget-what-was-replaced-or-deleted',
      status: 'Enabled',
      filter: { prefix: '' },
      noncurrentVersionExpiration: { noncurrentDays },
      expiration: { expiredObjectDeleteMarker: true },
    },
    ...(transitions.length > 0
      ? [{ id: 'archive-originals', status: 'Enabled', filter: { prefix: originalsPrefix }, transitions }]
      : []),
  ]
}
