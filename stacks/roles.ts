import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { metricNamespace } from '@millrace/shared/fleet/queue-load.ts'
import {
  apiKeysPrefix,
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
  outboxPrefix,
  receiptsPrefix,
  revocationsPrefix,
  sweepPrefix,
  unfinishedPrefix,
  usagePrefix,
  userErasuresPrefix,
  usersPrefix,
  variantsPrefix,
  webhooksPrefix,
  withdrawnPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import type { Bucket } from './bucket.ts'
import type { Cdn } from './cdn.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { EventsQueue } from './events-queue.ts'
import type { Image } from './image.ts'
import type { Place } from './place.ts'
import { secretsPath } from './secrets.ts'

type Statement = {
  Sid: string
  Effect: 'Allow'
  Action: string[]
  Resource: $util.Input<string> | $util.Input<string>[]
  Condition?: Record<string, Record<string, $util.Input<string>>>
}

export type RoleDeps = {
  place: Place
  /** As `createRole` returns it. */
  role: aws.iam.Role
  accountId: $util.Input<string>
  bucket: Bucket
  queue: EventsQueue
  key: EncryptionKey
  image: Image
  logGroup: aws.cloudwatch.LogGroup
  /** Undefined: there is none. */
  cdn: Cdn | undefined
  /** Of the Auto Scaling group. The group depends on the role, so the role cannot depend on the group. */
  groupName: string
}

/**
 * Creates a tier's role, without rights. The bucket's policy names the role, and the role's rights name the bucket: so
 * the role comes first.
 */
export function createRole(place: Place, tier: Tier) {
  return new aws.iam.Role(
    place.id(tier === 'api' ? 'ApiRole' : 'WorkerRole'),
    {
      assumeRolePolicy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' },
        ],
      }),
      // The deploy role may change only roles of this name. Roles belong to the account, so the name contains the region.
      name: place.name(`${tier}-${place.region}`),
      description: `Instances of the ${tier} tier in ${place.region}`,
    },
    place.options,
  )
}

/** Gives the API's role its rights: accept and sign uploads, read them, erase them, keep what belongs to tenants. */
export function grantToApi(deps: RoleDeps) {
  const { bucket, queue } = deps
  return grant('api', deps, [
    {
      Sid: 'ListLedger',
      Effect: 'Allow',
      Action: [
        's3:ListBucket',
        's3:ListBucketVersions',
        's3:ListBucketMultipartUploads',
        's3:GetBucketVersioning',
      ],
      Resource: bucket.arn,
    },
    {
      Sid: 'AcceptUploads',
      Effect: 'Allow',
      Action: [
        's3:GetObject',
        's3:GetObjectVersion',
        's3:PutObject',
        's3:AbortMultipartUpload',
        's3:ListMultipartUploadParts',
      ],
      Resource: objectsUnder(bucket, originalsPrefix),
    },
    {
      Sid: 'ReadResults',
      Effect: 'Allow',
      Action: ['s3:GetObject'],
      Resource: [objectsUnder(bucket, variantsPrefix), objectsUnder(bucket, manifestsPrefix)],
    },
    ...eraseStatements(bucket),
    objectStatement(bucket, 'KeepUnfinishedAndEdits', keep, [unfinishedPrefix, editsPrefix]),
    objectStatement(bucket, 'MarkErasures', ['s3:GetObject', 's3:PutObject'], [erasuresPrefix]),
    objectStatement(bucket, 'KeepTenants', keep, [
      apiKeysPrefix,
      webhooksPrefix,
      userErasuresPrefix,
      usagePrefix,
    ]),
    // All versions of a user go at once, because they name a person.
    objectStatement(
      bucket,
      'KeepUsers',
      ['s3:GetObject', 's3:PutObject', 's3:DeleteObjectVersion'],
      [usersPrefix],
    ),
    // Receipts stay.
    objectStatement(bucket, 'KeepReceipts', ['s3:GetObject', 's3:PutObject'], [receiptsPrefix]),
    // Revocations are found by listing. Workers take events from the outbox.
    objectStatement(bucket, 'RevokeAndTell', ['s3:PutObject'], [revocationsPrefix, outboxPrefix]),
    {
      Sid: 'WithdrawVariants',
      Effect: 'Allow',
      Action: ['s3:PutObject'],
      Resource: objectsUnder(bucket, withdrawnPrefix),
    },
    {
      Sid: 'CheckQueue',
      Effect: 'Allow',
      Action: ['sqs:GetQueueAttributes'],
      Resource: queue.queue.arn,
    },
    ...redriveStatements(queue),
  ])
}

/** Gives the workers' role its rights: receive events, import and read originals, write variants and manifests, sweep the bucket. */
export function grantToWorkers(deps: RoleDeps) {
  const { bucket, queue, cdn } = deps
  return grant('worker', deps, [
    {
      Sid: 'ListLedger',
      Effect: 'Allow',
      Action: [
        's3:ListBucket',
        's3:ListBucketVersions',
        's3:ListBucketMultipartUploads',
        's3:GetBucketVersioning',
      ],
      Resource: bucket.arn,
    },
    {
      Sid: 'ReadAndImportOriginals',
      Effect: 'Allow',
      Action: [
        's3:GetObject',
        's3:GetObjectVersion',
        's3:PutObject',
        's3:AbortMultipartUpload',
        's3:ListMultipartUploadParts',
      ],
      Resource: objectsUnder(bucket, originalsPrefix),
    },
    {
      Sid: 'ReadAnnouncements',
      Effect: 'Allow',
      Action: ['s3:GetObject'],
      Resource: objectsUnder(bucket, unfinishedPrefix),
    },
    objectStatement(bucket, 'WriteVariants', ['s3:PutObject'], [variantsPrefix]),
    objectStatement(bucket, 'WriteManifests', ['s3:GetObject', 's3:PutObject'], [manifestsPrefix]),
    objectStatement(bucket, 'ReadErasuresAndEdits', ['s3:GetObject'], [erasuresPrefix, editsPrefix]),
    objectStatement(bucket, 'KeepSweepState', ['s3:GetObject', 's3:PutObject'], [sweepPrefix]),
    ...eraseStatements(bucket),
    // Not keys/: workers identify nobody.
    objectStatement(bucket, 'ReadUsers', ['s3:GetObject'], [usersPrefix]),
    objectStatement(bucket, 'DisableWebhooks', ['s3:GetObject', 's3:PutObject'], [webhooksPrefix]),
    objectStatement(bucket, 'DeliverEvents', keep, [outboxPrefix]),
    objectStatement(bucket, 'WithdrawVariants', keep, [withdrawnPrefix]),
    ...(cdn ? [invalidateStatement(cdn)] : []),
    {
      Sid: 'ReceiveEvents',
      Effect: 'Allow',
      Action: [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueAttributes',
      ],
      Resource: queue.queue.arn,
    },
    {
      // The API has no termination hook.
      Sid: 'ProtectInstancesDuringLongWork',
      Effect: 'Allow',
      Action: ['autoscaling:SetInstanceProtection', 'autoscaling:RecordLifecycleActionHeartbeat'],
      Resource: groupArn(deps),
    },
    {
      Sid: 'ReplaceHungWorkers',
      Effect: 'Allow',
      Action: ['autoscaling:SetInstanceHealth'],
      Resource: groupArn(deps),
    },
    ...redriveStatements(queue),
  ])
}

/** Returns the ARN of the tier's own group by its name. The rest of the ARN is known only after the group exists. */
function groupArn({ place, accountId, groupName }: RoleDeps): $util.Output<string> {
  return $interpolate`arn:aws:autoscaling:${place.region}:${accountId}:autoScalingGroup:*:autoScalingGroupName/${groupName}`
}

/** Returns the ARN of all objects under a prefix. */
function objectsUnder(bucket: Bucket, prefix: string): $util.Output<string> {
  return $interpolate`${bucket.arn}/${prefix}*`
}

/** Both tiers redrive dead letters: the API on request, workers with the command. Messages are sent before they are deleted. */
function redriveStatements({ queue, deadLetters }: EventsQueue): Statement[] {
  return [
    {
      Sid: 'TakeDeadLetters',
      Effect: 'Allow',
      Action: [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueAttributes',
      ],
      Resource: deadLetters.arn,
    },
    { Sid: 'SendDeadLettersAgain', Effect: 'Allow', Action: ['sqs:SendMessage'], Resource: queue.arn },
  ]
}

/** To read, write and delete objects. In the versioned bucket, deleted ones can be restored until they expire. */
const keep = ['s3:GetObject', 's3:PutObject', 's3:DeleteObject']

/** Allows actions on all objects under some prefixes. */
function objectStatement(bucket: Bucket, sid: string, actions: string[], prefixes: string[]): Statement {
  return {
    Sid: sid,
    Effect: 'Allow',
    Action: actions,
    Resource: prefixes.map((prefix) => objectsUnder(bucket, prefix)),
  }
}

/** Workers invalidate the copies of withdrawn variants, the API does not. */
function invalidateStatement({ arn }: Cdn): Statement {
  return {
    Sid: 'InvalidateWithdrawnVariants',
    Effect: 'Allow',
    Action: ['cloudfront:CreateInvalidation'],
    Resource: arn,
  }
}

/**
 * Both tiers erase: the API on request, workers rejected and late uploads. Erasing deletes versions. Only rejected bytes and
 * edits of lost uploads are deleted without naming one.
 */
function eraseStatements(bucket: Bucket): Statement[] {
  return [
    objectStatement(
      bucket,
      'Erase',
      ['s3:DeleteObjectVersion'],
      [originalsPrefix, unfinishedPrefix, variantsPrefix, manifestsPrefix, editsPrefix],
    ),
    objectStatement(bucket, 'Discard', ['s3:DeleteObject'], [originalsPrefix, editsPrefix]),
  ]
}

/**
 * Gives a role the tier's statements, and those that every instance needs to boot, log and terminate.
 *
 * @returns the profile of its instances, and the rights, which must exist before an instance boots
 */
function grant(tier: Tier, deps: RoleDeps, statements: Statement[]) {
  const { place, role, accountId, key, image, logGroup } = deps
  const { region } = place
  const arn = (service: string, resource: string) =>
    $interpolate`arn:aws:${service}:${region}:${accountId}:${resource}`
  const id = tier === 'api' ? 'Api' : 'Worker'
  const common: Statement[] = [
    {
      Sid: 'ReadSecrets',
      Effect: 'Allow',
      Action: ['ssm:GetParametersByPath'],
      Resource: [
        arn('ssm', `parameter${secretsPath(place, tier)}`),
        arn('ssm', `parameter${secretsPath(place, tier)}/*`),
      ],
    },
    { Sid: 'UseKey', Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: key.arn },
    // This action has no resource in ECR. The token permits only what the next statement allows.
    { Sid: 'LogInToRegistry', Effect: 'Allow', Action: ['ecr:GetAuthorizationToken'], Resource: '*' },
    {
      Sid: 'PullImage',
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      Resource: image.repository.arn,
    },
    {
      Sid: 'Log',
      Effect: 'Allow',
      Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      Resource: $interpolate`${logGroup.arn}:*`,
    },
    // This action has no resource in CloudWatch, so it is limited to our namespace.
    {
      Sid: 'PublishMetrics',
      Effect: 'Allow',
      Action: ['cloudwatch:PutMetricData'],
      Resource: '*',
      Condition: { StringEquals: { 'cloudwatch:namespace': metricNamespace } },
    },
    {
      Sid: 'CompleteLifecycleActions',
      Effect: 'Allow',
      Action: ['autoscaling:CompleteLifecycleAction'],
      Resource: groupArn(deps),
    },
  ]
  const rights = new aws.iam.RolePolicy(
    place.id(`${id}Policy`),
    {
      role: role.name,
      policy: $jsonStringify({ Version: '2012-10-17', Statement: [...statements, ...common] }),
    },
    place.options,
  )
  const profile = new aws.iam.InstanceProfile(
    place.id(`${id}Profile`),
    { name: place.name(`${tier}-${region}`), role: role.name },
    place.options,
  )
  return { profile, rights }
}
