import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { metricNamespace } from '@millrace/shared/fleet/queue-load.ts'
import {
  erasedPrefix,
  manifestsPrefix,
  originalsPrefix,
  unfinishedPrefix,
  variantsPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import type { Bucket } from './bucket.ts'
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
  accountId: $util.Input<string>
  bucket: Bucket
  queue: EventsQueue
  /** Whether the bucket and those of other regions copy to each other. */
  isReplicated: boolean
  key: EncryptionKey
  image: Image
  logGroup: aws.cloudwatch.LogGroup
  /** Of the Auto Scaling group, which names the role itself and so can't be asked. */
  groupName: string
}

/** What the API may do: take uploads in, sign for them, read and erase. */
export function createApiRole(deps: RoleDeps) {
  const { bucket, queue, isReplicated } = deps
  const tellOfErasures: Statement = {
    Sid: 'TellOfErasures',
    Effect: 'Allow',
    Action: ['s3:PutObject'],
    Resource: objectsUnder(bucket, erasedPrefix),
  }
  return createInstanceRole('api', deps, [
    {
      Sid: 'LookIntoTheLedger',
      Effect: 'Allow',
      Action: ['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads'],
      Resource: bucket.arn,
    },
    {
      Sid: 'TakeIn',
      Effect: 'Allow',
      Action: [
        's3:GetObject',
        's3:GetObjectVersion',
        's3:PutObject',
        's3:AbortMultipartUpload',
        's3:ListMultipartUploadParts',
      ],
      Resource: [objectsUnder(bucket, originalsPrefix), objectsUnder(bucket, unfinishedPrefix)],
    },
    {
      Sid: 'Serve',
      Effect: 'Allow',
      Action: ['s3:GetObject'],
      Resource: [objectsUnder(bucket, variantsPrefix), objectsUnder(bucket, manifestsPrefix)],
    },
    eraseStatement(bucket),
    ...(isReplicated ? [tellOfErasures] : []),
    {
      Sid: 'SeeThatTheQueueIsThere',
      Effect: 'Allow',
      Action: ['sqs:GetQueueAttributes'],
      Resource: queue.queue.arn,
    },
  ])
}

/** What a worker may do: hear of originals, fetch some, read them, write what it makes of them. */
export function createWorkerRole(deps: RoleDeps) {
  const { bucket, queue } = deps
  return createInstanceRole('worker', deps, [
    {
      Sid: 'LookIntoTheLedger',
      Effect: 'Allow',
      Action: ['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads'],
      Resource: bucket.arn,
    },
    {
      Sid: 'ReadAndImportOriginals',
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:GetObjectVersion', 's3:PutObject', 's3:AbortMultipartUpload'],
      Resource: objectsUnder(bucket, originalsPrefix),
    },
    {
      Sid: 'WriteResults',
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'],
      Resource: [objectsUnder(bucket, variantsPrefix), objectsUnder(bucket, manifestsPrefix)],
    },
    eraseStatement(bucket),
    {
      Sid: 'HearOfOriginals',
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
      Sid: 'HoldInstancesDuringLongWork',
      Effect: 'Allow',
      Action: ['autoscaling:SetInstanceProtection'],
      Resource: groupArn(deps),
    },
  ])
}

/** Of the tier's own group, by its name: the rest of a group's ARN is known only once there is the group. */
function groupArn({ place, accountId, groupName }: RoleDeps): $util.Output<string> {
  return $interpolate`arn:aws:autoscaling:${place.region}:${accountId}:autoScalingGroup:*:autoScalingGroupName/${groupName}`
}

/** The ARN of all objects under a prefix. */
function objectsUnder(bucket: Bucket, prefix: string): $util.Output<string> {
  return $interpolate`${bucket.arn}/${prefix}*`
}

/** Both tiers erase: one on request, the other what was rejected or came too late. */
function eraseStatement(bucket: Bucket): Statement {
  return {
    Sid: 'Erase',
    Effect: 'Allow',
    Action: ['s3:DeleteObject', 's3:DeleteObjectVersion'],
    Resource: [originalsPrefix, unfinishedPrefix, variantsPrefix, manifestsPrefix].map((prefix) =>
      objectsUnder(bucket, prefix),
    ),
  }
}

/** A role that instances of a tier have: the tier's statements, and what every instance needs to boot, log and end. */
function createInstanceRole(tier: Tier, deps: RoleDeps, statements: Statement[]) {
  const { place, accountId, key, image, logGroup } = deps
  const { region } = place
  const arn = (service: string, resource: string) =>
    $interpolate`arn:aws:${service}:${region}:${accountId}:${resource}`
  const id = tier === 'api' ? 'Api' : 'Worker'
  const role = new aws.iam.Role(
    place.id(`${id}Role`),
    {
      assumeRolePolicy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' },
        ],
      }),
      description: `Instances of the ${tier} tier in ${region}`,
    },
    place.options,
  )
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
    { Sid: 'UseTheKey', Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: key.arn },
    // ECR knows no resource for this; the token opens only what the next statement allows.
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
    // CloudWatch knows no resource for this, so it is held to our namespace.
    {
      Sid: 'PublishMetrics',
      Effect: 'Allow',
      Action: ['cloudwatch:PutMetricData'],
      Resource: '*',
      Condition: { StringEquals: { 'cloudwatch:namespace': metricNamespace } },
    },
    {
      Sid: 'BeginAndEnd',
      Effect: 'Allow',
      Action: ['autoscaling:CompleteLifecycleAction', 'autoscaling:RecordLifecycleActionHeartbeat'],
      Resource: groupArn(deps),
    },
  ]
  new aws.iam.RolePolicy(
    place.id(`${id}Policy`),
    {
      role: role.name,
      policy: $jsonStringify({ Version: '2012-10-17', Statement: [...statements, ...common] }),
    },
    place.options,
  )
  return new aws.iam.InstanceProfile(place.id(`${id}Profile`), { role: role.name }, place.options)
}
