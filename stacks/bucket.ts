import {
  editsPrefix,
  erasuresPrefix,
  originalsPrefix,
  outboxPrefix,
  revocationsPrefix,
  unfinishedPrefix,
  usersPrefix,
  variantsPrefix,
  webhooksPrefix,
  withdrawnPrefix,
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
 * @param options.origin the origin of the API's own pages, which may send files to the bucket and read its responses (CORS)
 * @param options.allowedOrigins other origins whose pages may; with one `*` at most, as S3 allows
 * @param options.cloudFrontOf the account whose CloudFront distributions may read variants
 * @param options.users ARNs of all who may use objects, `*` and `?` allowed. Undefined: whoever has the rights, for `sst dev`
 */
export function createBucket(options: {
  place: Place
  key: EncryptionKey
  origin: $util.Input<string>
  allowedOrigins: string[]
  settings: Pick<Settings, 'keep' | 'originals' | 'noncurrentDays'>
  cloudFrontOf: $util.Input<string> | undefined
  users: $util.Input<string>[] | undefined
}) {
  const { place, key, origin, allowedOrigins, settings, cloudFrontOf, users } = options
  const { id } = place
  const bucket = new sst.aws.Bucket(
    id('Ledger'),
    {
      versioning: true,
      enforceHttps: true,
      // Not `access: 'cloudfront'`: it allows distributions of any account to read everything.
      policy: [
        ...(cloudFrontOf ? [allowCloudFront(cloudFrontOf)] : []),
        ...(users ? [denyObjectsToOthers(users)] : []),
      ],
      cors: {
        allowOrigins: [origin, ...allowedOrigins],
        allowMethods: ['GET', 'HEAD', 'POST', 'PUT'],
        allowHeaders: ['*'],
        // A page needs ETag to complete a multipart upload. Uppy 5 reports an error if a form's response has no Location.
        exposeHeaders: ['ETag', 'Location'],
        maxAge: '1 hour',
      },
      transform: {
        bucket: { forceDestroy: !settings.keep },
        ...(allowedOrigins.length > 0 && {
          cors(rules: aws.s3.BucketCorsConfigurationArgs) {
            rules.corsRules = $util.output(rules.corsRules).apply((list) => [...list, redirectedPages])
          },
        }),
      },
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

/**
 * Lets pages of other origins read what the API redirects them to: browsers then send `Origin: null` (Fetch Standard,
 * "redirect-tainted origin"). Nobody reads anything without a signed URL.
 */
const redirectedPages = {
  allowedOrigins: ['null'],
  allowedMethods: ['GET', 'HEAD'],
  allowedHeaders: ['*'],
  exposeHeaders: ['ETag'],
  maxAgeSeconds: 3_600,
}

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

/**
 * Denies every action on objects to all but `users` and the services of AWS, so that no other role of the account can read
 * uploads, not even one that may use all of S3. It denies nothing on the bucket itself, so that whoever may deploy can
 * always change this policy (docs/decisions/0058-deny-objects-to-all-but-the-roles.md).
 */
function denyObjectsToOthers(users: $util.Input<string>[]) {
  return {
    effect: 'deny' as const,
    principals: '*' as const,
    actions: ['s3:*'],
    paths: ['*'],
    conditions: [
      { test: 'ArnNotLike', variable: 'aws:PrincipalArn', values: users },
      // CloudFront. IfExists: requests without credentials have no such key.
      { test: 'BoolIfExists', variable: 'aws:PrincipalIsAWSService', values: ['false'] },
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

/**
 * Deletes for good, after a day, what was replaced or deleted of tenants: a user's id is a person's data, a webhook's secret
 * was replaced because it should no longer be known, and each event of the outbox is deleted soon after it was written.
 */
const expireReplacedOfTenants = [usersPrefix, webhooksPrefix, outboxPrefix].map((prefix) => ({
  id: `expire-replaced-${prefix.slice(0, -1)}`,
  status: 'Enabled',
  filter: { prefix },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}))

/** Expires revocations when all upload tokens of their day have ended: a token lasts 7 days at most. */
const expireRevocations = {
  id: 'expire-revocations',
  status: 'Enabled',
  filter: { prefix: revocationsPrefix },
  expiration: { days: 8 },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/** Deletes replaced edits after a day: each change of an upload's metadata is a version, and nothing reads earlier ones. */
const expireReplacedEdits = {
  id: 'expire-replaced-edits',
  status: 'Enabled',
  filter: { prefix: editsPrefix },
  noncurrentVersionExpiration: { noncurrentDays: 1 },
}

/** Deletes finished withdrawals for good after a day. Each was deleted soon after it was written. */
const expireWithdrawals = {
  id: 'expire-withdrawals',
  status: 'Enabled',
  filter: { prefix: withdrawnPrefix },
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
    ...expireReplacedOfTenants,
    expireRevocations,
    expireReplacedEdits,
    expireWithdrawals,
    ...(transitions.length > 0
      ? [{ id: 'archive-originals', status: 'Enabled', filter: { prefix: originalsPrefix }, transitions }]
      : []),
  ]
}
