// What each call to AWS needs: IAM's actions, and on what. A test compares the calls with the code, and the rights with both
// roles (permissions.ts).
//
// A right is `action target`. The target is a prefix of the bucket, or one of: bucket, events and dead-letters (queues), group
// (the tier's own), repository, log, secrets, key, distribution, * (actions without a resource). A right that begins with
// `with CDN: ` is needed only in a stage with CloudFront.

type Tier = 'api' | 'worker'
/** The rights that a call needs, of both tiers or for each tier. */
type Needs = string[] | Record<Tier, string[]>

/** Returns the rights that a call of a tier needs. */
export function needsOf(needs: Needs, tier: Tier): string[] {
  return Array.isArray(needs) ? needs : needs[tier]
}

const on = (prefixes: string, ...actions: string[]) =>
  prefixes.split(' ').flatMap((prefix) => actions.map((action) => `s3:${action} ${prefix}/`))

const list = ['s3:ListBucket bucket']
const listVersions = ['s3:ListBucketVersions bucket']
const listUploads = ['s3:ListBucketMultipartUploads bucket']
/** The rows of a wrapper's users say what it needs. */
const saidByUsers: string[] = []
const ofAnUpload = 'originals unfinished variants manifests edits'

/** By file (relative to packages/) and call. */
export const neededRights: Record<string, Record<string, Needs>> = {
  'shared/src/fleet/cloudwatch-metrics.ts': { PutMetricDataCommand: ['cloudwatch:PutMetricData *'] },
  'shared/src/fleet/queue-sampler.ts': { GetQueueAttributesCommand: ['sqs:GetQueueAttributes events'] },
  // On request in the API; by `npm run redrive` in workers.
  'shared/src/jobs/dead-letters.ts': {
    GetQueueAttributesCommand: ['sqs:GetQueueAttributes dead-letters'],
    ReceiveMessageCommand: ['sqs:ReceiveMessage dead-letters'],
    ChangeMessageVisibilityBatchCommand: ['sqs:ChangeMessageVisibility dead-letters'],
    SendMessageBatchCommand: ['sqs:SendMessage events'],
    DeleteMessageBatchCommand: ['sqs:DeleteMessage dead-letters'],
  },
  'shared/src/parts/abort-multipart-uploads.ts': {
    paginateMultipartUploads: listUploads,
    AbortMultipartUploadCommand: on('originals', 'AbortMultipartUpload'),
  },
  'shared/src/ledger/announcements.ts': {
    // Only the API announces. Workers erase announcements with all versions.
    createJsonObjects: {
      api: on('unfinished', 'GetObject', 'PutObject', 'DeleteObject'),
      worker: on('unfinished', 'GetObject'),
    },
    ListPartsCommand: on('originals', 'ListMultipartUploadParts'),
  },
  'shared/src/erasure/delete-rejected-original.ts': {
    DeleteObjectCommand: on('originals', 'DeleteObject', 'DeleteObjectVersion'),
    paginateObjectVersions: listVersions,
  },
  'shared/src/ledger/edits.ts': {
    // Both delete the edit of a lost upload. Only the API edits.
    createJsonObjects: {
      api: on('edits', 'GetObject', 'PutObject', 'DeleteObject'),
      worker: on('edits', 'GetObject', 'DeleteObject'),
    },
  },
  'shared/src/erasure/erase-objects.ts': {
    paginateObjectVersions: listVersions,
    DeleteObjectsCommand: saidByUsers,
  },
  'shared/src/erasure/erasures.ts': {
    // HEAD needs the same right as GET. Workers only read markers.
    HeadObjectCommand: on('erasures', 'GetObject'),
    PutObjectCommand: { api: on('erasures', 'PutObject'), worker: [] },
  },
  'shared/src/ledger/json-objects.ts': {
    GetObjectCommand: saidByUsers,
    PutObjectCommand: saidByUsers,
    DeleteObjectCommand: saidByUsers,
  },
  'shared/src/ledger/list-oldest-upload-ids.ts': { ListObjectsV2Command: list },
  'shared/src/ledger/list-owner-contents.ts': {
    paginateObjectVersions: listVersions,
    paginateMultipartUploads: listUploads,
  },
  'shared/src/ledger/list-parsed-keys.ts': { paginateListObjectsV2: list },
  'shared/src/ledger/list-upload-ids.ts': { ListObjectsV2Command: list },
  'shared/src/ledger/manifest.ts': {
    // The API must not write manifests: one declares a file as inspected.
    createJsonObjects: {
      api: on('manifests', 'GetObject'),
      worker: on('manifests', 'GetObject', 'PutObject'),
    },
  },
  'shared/src/ledger/original-versions.ts': {
    HeadObjectCommand: on('originals', 'GetObject', 'GetObjectVersion'),
    paginateObjectVersions: listVersions,
    DeleteObjectCommand: on('originals', 'DeleteObjectVersion'),
  },
  'shared/src/ledger/originals.ts': { HeadObjectCommand: on('originals', 'GetObject', 'GetObjectVersion') },
  'shared/src/ledger/pages.ts': {
    ListObjectVersionsCommand: listVersions,
    ListMultipartUploadsCommand: listUploads,
  },
  'shared/src/parts/store-original.ts': {
    PutObjectCommand: on('originals', 'PutObject'),
    CreateMultipartUploadCommand: on('originals', 'PutObject'),
    CompleteMultipartUploadCommand: on('originals', 'PutObject'),
    AbortMultipartUploadCommand: on('originals', 'AbortMultipartUpload'),
  },
  'shared/src/parts/upload-part.ts': { UploadPartCommand: on('originals', 'PutObject') },
  'shared/src/lifecycle/lifecycle.ts': {
    createEraseObjects: on(ofAnUpload, 'DeleteObjectVersion'),
    createEraseUnfinished: on('unfinished', 'DeleteObjectVersion'),
  },
  'shared/src/quotas/quota.ts': { paginateListObjectsV2: list },
  'shared/src/connections/check-bucket-versioning.ts': {
    GetBucketVersioningCommand: ['s3:GetBucketVersioning bucket'],
  },
  'shared/src/tenants/key-store.ts': {
    createJsonObjects: on('keys', 'GetObject', 'PutObject', 'DeleteObject'),
    HeadObjectCommand: on('keys', 'GetObject'),
    paginateListObjectsV2: list,
  },
  'shared/src/tenants/tenant-users.ts': {
    // Workers only look up a user, for the events of its uploads.
    createJsonObjects: { api: on('users', 'GetObject', 'PutObject'), worker: on('users', 'GetObject') },
    createEraseObject: { api: on('users', 'DeleteObjectVersion'), worker: [] },
  },
  'shared/src/tenants/user-erasures.ts': {
    createJsonObjects: [
      ...on('erasing', 'GetObject', 'PutObject', 'DeleteObject'),
      ...on('receipts', 'GetObject', 'PutObject'),
    ],
    ListObjectsV2Command: list,
    paginateListObjectsV2: list,
  },
  'shared/src/webhooks/outbox.ts': {
    // The API adds the event of an erasure. Workers deliver events.
    createJsonObjects: {
      api: on('outbox', 'PutObject'),
      worker: on('outbox', 'GetObject', 'PutObject', 'DeleteObject'),
    },
    ListObjectsV2Command: list,
    paginateListObjectsV2: list,
  },
  'shared/src/webhooks/webhook-store.ts': {
    // Workers disable a webhook that fails for days.
    createJsonObjects: {
      api: on('webhooks', 'GetObject', 'PutObject', 'DeleteObject'),
      worker: on('webhooks', 'GetObject', 'PutObject'),
    },
    paginateListObjectsV2: list,
  },
  'shared/src/ledger/stored-variants.ts': {
    paginateObjectVersions: listVersions,
    DeleteObjectsCommand: on('variants', 'DeleteObjectVersion'),
  },
  'shared/src/erasure/withdrawals.ts': {
    createJsonObjects: {
      api: on('withdrawn', 'PutObject'),
      worker: on('withdrawn', 'GetObject', 'PutObject', 'DeleteObject'),
    },
    ListObjectsV2Command: list,
  },
  'api/src/credentials/revoked-tokens.ts': {
    // Revocations are empty, and found by listing.
    PutObjectCommand: on('revocations', 'PutObject'),
    paginateListObjectsV2: list,
  },
  'api/src/fleet/readiness.ts': {
    HeadBucketCommand: list,
    GetQueueAttributesCommand: ['sqs:GetQueueAttributes events'],
  },
  // Whoever follows a signed URL acts with the rights of the role that signed it.
  'api/src/downloads/sign-download.ts': {
    'signer.sign': [...on('originals', 'GetObject', 'GetObjectVersion'), ...on('variants', 'GetObject')],
  },
  'api/src/signing/sign-form.ts': { createPresignedPost: on('originals', 'PutObject') },
  'api/src/signing/sign-put.ts': { 'signer.sign': on('originals', 'PutObject') },
  // Only finds the bucket's URL.
  'api/src/signing/sign-url.ts': { createPresignedPost: [] },
  'api/src/tenants/count-usage.ts': { paginateListObjectsV2: list },
  'api/src/tenants/usage-counts.ts': {
    createJsonObjects: on('usage', 'GetObject', 'PutObject'),
    paginateListObjectsV2: list,
    DeleteObjectsCommand: on('usage', 'DeleteObject'),
  },
  'api/src/tus/tus-parts.ts': {
    PutObjectCommand: on('originals unfinished', 'PutObject'),
    HeadObjectCommand: on('unfinished', 'GetObject'),
    GetObjectCommand: on('unfinished', 'GetObject'),
  },
  'api/src/announcing/find-lost-id.ts': {
    paginateListObjectsV2: list,
    paginateMultipartUploads: listUploads,
  },
  'api/src/announcing/multipart-uploads.ts': {
    CreateMultipartUploadCommand: on('originals', 'PutObject'),
    paginateMultipartUploads: listUploads,
    AbortMultipartUploadCommand: on('originals', 'AbortMultipartUpload'),
    'signer.signAll': on('originals', 'PutObject'),
    paginateListParts: on('originals', 'ListMultipartUploadParts'),
    CompleteMultipartUploadCommand: on('originals', 'PutObject'),
  },
  'worker/src/arrivals/message-leases.ts': {
    ReceiveMessageCommand: ['sqs:ReceiveMessage events'],
    ChangeMessageVisibilityBatchCommand: ['sqs:ChangeMessageVisibility events'],
    DeleteMessageBatchCommand: ['sqs:DeleteMessage events'],
  },
  'worker/src/instance/scale-in-protection.ts': {
    SetInstanceProtectionCommand: ['autoscaling:SetInstanceProtection group'],
  },
  'worker/src/instance/termination-hook.ts': {
    RecordLifecycleActionHeartbeatCommand: ['autoscaling:RecordLifecycleActionHeartbeat group'],
    CompleteLifecycleActionCommand: ['autoscaling:CompleteLifecycleAction group'],
  },
  'worker/src/processing/read-original.ts': {
    GetObjectCommand: on('originals', 'GetObject', 'GetObjectVersion'),
  },
  'worker/src/processing/write-variant.ts': { PutObjectCommand: on('variants', 'PutObject') },
  'worker/src/reconciliation/list-page.ts': { ListObjectsV2Command: list },
  'worker/src/reconciliation/sweep-owners.ts': { ListObjectsV2Command: list },
  'worker/src/reconciliation/sweep-state.ts': {
    GetObjectCommand: on('sweep', 'GetObject'),
    PutObjectCommand: on('sweep', 'PutObject'),
  },
  'worker/src/reconciliation/sweep-unfinished.ts': { ListMultipartUploadsCommand: listUploads },
  'worker/src/withdrawals/invalidate-cdn.ts': {
    CreateInvalidationCommand: ['with CDN: cloudfront:CreateInvalidation distribution'],
  },
  // Signs a URL for the team's inspector.
  'worker/src/scanning/inspector.ts': { GetObjectCommand: on('originals', 'GetObject', 'GetObjectVersion') },
}

/** What the boot script needs, by call. */
export const neededByUserData: Record<string, Needs> = {
  'aws autoscaling complete-lifecycle-action': ['autoscaling:CompleteLifecycleAction group'],
  // Only workers have the timer that looks at /live.
  'aws autoscaling set-instance-health': { api: [], worker: ['autoscaling:SetInstanceHealth group'] },
  'aws logs create-log-stream': ['logs:CreateLogStream log'],
  'aws logs put-log-events': ['logs:PutLogEvents log'],
  'aws ssm get-parameters-by-path': ['ssm:GetParametersByPath secrets'],
  'aws ecr get-login-password': ['ecr:GetAuthorizationToken *'],
  'docker pull': ['ecr:BatchGetImage repository', 'ecr:GetDownloadUrlForLayer repository'],
  '--log-driver awslogs': ['logs:CreateLogStream log', 'logs:PutLogEvents log'],
}

/** What AWS needs of whoever uses something encrypted. No code of ours calls it. */
export const neededByEncryption = [
  // To read objects, messages and secrets (S3 User Guide, "Using SSE-KMS"; SQS and SSM likewise).
  'kms:Decrypt key',
  // To write objects, and to send messages.
  'kms:GenerateDataKey key',
]
