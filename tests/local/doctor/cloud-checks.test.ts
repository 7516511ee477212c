import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type BucketLifecycleConfiguration,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketCorsCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import {
  GetQueueAttributesCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { type LocalCloud, startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { bucketChecks } from '@millrace/local/doctor/bucket-checks.ts'
import { clockChecks } from '@millrace/local/doctor/clock-checks.ts'
import type { Check } from '@millrace/local/doctor/finding.ts'
import { permissionChecks } from '@millrace/local/doctor/permission-checks.ts'
import { queueArnOf, queueChecks } from '@millrace/local/doctor/queue-checks.ts'
import { runChecks } from '@millrace/local/doctor/run-checks.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'

/** Each check is tested by breaking what it checks: first it finds nothing, then the fault. */
const test = suite('doctor: bucket, queue and permissions')
const origin = 'http://localhost:3000'

let directory: string
let cloud: LocalCloud
let proxy: S3Proxy
let s3: S3Client
let direct: S3Client
let sqs: SQSClient

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-doctor-'))
  cloud = await startLocalCloud({ directory, redisUrl: 'redis://127.0.0.1:6379', origins: [origin] })
  proxy = await startS3Proxy(cloud.environment.AWS_ENDPOINT_URL_S3)
  const { environment } = cloud
  const identity = {
    region: environment.AWS_REGION,
    credentials: {
      accessKeyId: environment.AWS_ACCESS_KEY_ID,
      secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
    },
    maxAttempts: 1,
  }
  s3 = new S3Client({ endpoint: proxy.endpoint, forcePathStyle: true, ...identity })
  direct = new S3Client({ endpoint: environment.AWS_ENDPOINT_URL_S3, ...identity })
  sqs = new SQSClient({ endpoint: environment.AWS_ENDPOINT_URL_SQS, ...identity })
})
test.after.each(async () => {
  for (const client of [s3, direct, sqs]) client.destroy()
  await proxy.close()
  await cloud.close()
  await rm(directory, { recursive: true })
})

const bucket = () => cloud.environment.BUCKET
const queueUrl = () => cloud.environment.EVENTS_QUEUE_URL
const checksOfBucket = (isLocal = true) =>
  bucketChecks({ s3, bucket: bucket(), origin, queueArn: () => queueArnOf(sqs, queueUrl()), isLocal })

/** Runs the checks of one name, and returns what is wrong, a line for each finding. */
async function wrong(checks: Check[], name: string): Promise<string[]> {
  const chosen = checks.filter((check) => check.name === name)
  assert.ok(chosen.length > 0, `There is no check ${name}.`)
  const findings = await runChecks(chosen, () => undefined)
  return findings.flatMap(({ severity, text, remedy }) => {
    if (severity !== 'error' && severity !== 'warning') return []
    assert.ok(remedy, `"${text}" has no remedy.`)
    return [`${severity}: ${text}`]
  })
}

/** Makes S3 answer a request for a bucket's configuration with a status and an XML document. */
function answer(parameter: string, code: string): void {
  proxy.intercept(({ path }) =>
    path.includes(`?${parameter}`) || path.includes(`&${parameter}`) ? { status: 404, code } : 'pass',
  )
}

test('nothing is wrong with the bucket and the queue of npm start', async () => {
  const checks = [
    ...checksOfBucket(),
    ...queueChecks({ sqs, queueUrl: queueUrl() }),
    ...clockChecks({ s3, bucket: bucket() }),
    ...permissionChecks({ s3, sqs, bucket: bucket(), queueUrl: queueUrl() }),
  ]
  const findings = await runChecks(checks, () => undefined)
  assert.equal(
    findings.filter(({ severity }) => severity !== 'ok').map(({ check, severity }) => [check, severity]),
    [['bucket-lifecycle', 'note']],
  )
  // Trying permissions leaves nothing behind.
  const versions = await direct.send(new ListObjectVersionsCommand({ Bucket: bucket() }))
  assert.equal([versions.Versions ?? [], versions.DeleteMarkers ?? []], [[], []])
  const uploads = await direct.send(new ListMultipartUploadsCommand({ Bucket: bucket() }))
  assert.equal(uploads.Uploads ?? [], [])
})

test('a bucket that is missing, keeps no versions, or does not answer', async () => {
  const missing = bucketChecks({
    s3,
    bucket: 'no-such-bucket',
    origin,
    queueArn: async () => '',
    isLocal: true,
  })
  assert.equal(await wrong(missing, 'bucket'), ['error: There is no bucket no-such-bucket.'])
  await direct.send(
    new PutBucketVersioningCommand({ Bucket: bucket(), VersioningConfiguration: { Status: 'Suspended' } }),
  )
  assert.equal(await wrong(checksOfBucket(), 'bucket-versioning'), [
    'error: The bucket keeps no versions (Suspended): bytes that were not inspected could be served.',
  ])
  proxy.intercept(() => 'deny')
  assert.match(
    (await wrong(checksOfBucket(), 'bucket-versioning'))[0] ?? '',
    'may not read this: bucket-versioning',
  )
  proxy.intercept(() => 'reset')
  assert.match((await wrong(checksOfBucket(), 'bucket-versioning'))[0] ?? '', 'This could not be checked')
})

test('CORS without our origin, without POST, without ETag, and none at all', async () => {
  const setRule = (rule: { AllowedOrigins: string[]; AllowedMethods: string[]; ExposeHeaders?: string[] }) =>
    direct.send(new PutBucketCorsCommand({ Bucket: bucket(), CORSConfiguration: { CORSRules: [rule] } }))
  const methods = ['GET', 'HEAD', 'PUT', 'POST']
  await setRule({ AllowedOrigins: ['https://*.example'], AllowedMethods: methods, ExposeHeaders: ['ETag'] })
  assert.equal(await wrong(checksOfBucket(), 'bucket-cors'), [
    `error: The bucket refuses files from pages of ${origin} (CORS).`,
  ])
  await setRule({
    AllowedOrigins: ['http://local*'],
    AllowedMethods: ['GET', 'PUT'],
    ExposeHeaders: ['Location'],
  })
  assert.equal(await wrong(checksOfBucket(), 'bucket-cors'), [
    `error: The bucket refuses POST from pages of ${origin} (CORS).`,
    'error: Pages cannot read ETag, so they cannot complete files in parts (CORS ExposeHeaders).',
  ])
  await setRule({ AllowedOrigins: ['http://local*'], AllowedMethods: methods, ExposeHeaders: ['etag'] })
  assert.equal(await wrong(checksOfBucket(), 'bucket-cors'), [])
  answer('cors', 'NoSuchCORSConfiguration')
  assert.equal(await wrong(checksOfBucket(), 'bucket-cors'), [
    `error: The bucket refuses files from pages of ${origin} (CORS).`,
  ])
})

test('events of new objects that do not reach the queue', async () => {
  await direct.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket: bucket(),
      NotificationConfiguration: {
        QueueConfigurations: [
          {
            QueueArn: await queueArnOf(sqs, queueUrl()),
            Events: ['s3:ObjectCreated:*'],
            Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'originals/' }] } },
          },
        ],
      },
    }),
  )
  assert.equal(await wrong(checksOfBucket(), 'bucket-notification'), [
    'error: S3 sends no events of new objects under erasures/, edits/ to the queue: such uploads wait for the daily sweep.',
  ])
  const other = bucketChecks({
    s3,
    bucket: bucket(),
    origin,
    queueArn: async () => 'arn:other',
    isLocal: true,
  })
  assert.match((await wrong(other, 'bucket-notification'))[0] ?? '', 'under originals/, erasures/, edits/')
})

test('a bucket on AWS without encryption, with public access, or without rules of age', async () => {
  answer('encryption', 'ServerSideEncryptionConfigurationNotFoundError')
  assert.equal(await wrong(checksOfBucket(), 'bucket-encryption'), [
    'error: Objects are not encrypted by default.',
  ])
  answer('publicAccessBlock', 'NoSuchPublicAccessBlockConfiguration')
  assert.match(
    (await wrong(checksOfBucket(), 'bucket-public-access'))[0] ?? '',
    'BlockPublicAcls, IgnorePublicAcls',
  )
  // Our local S3 has no rules.
  proxy.intercept(() => 'pass')
  assert.equal(await wrong(checksOfBucket(false), 'bucket-lifecycle'), [
    'warning: No rule aborts unfinished multipart uploads: their parts are kept and billed.',
    'warning: No rule expires replaced versions: everything deleted is kept and billed.',
  ])
})

test('rules of age that delete too early', async () => {
  const rules: BucketLifecycleConfiguration['Rules'] = [
    {
      ID: 'abort',
      Status: 'Enabled',
      Filter: { Prefix: '' },
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
    },
    {
      ID: 'old',
      Status: 'Enabled',
      Filter: { Prefix: '' },
      NoncurrentVersionExpiration: { NoncurrentDays: 30 },
    },
    { ID: 'tidy', Status: 'Enabled', Filter: { Prefix: 'originals/' }, Expiration: { Days: 90 } },
    { ID: 'off', Status: 'Disabled', Filter: { Prefix: '' }, Expiration: { Days: 1 } },
  ]
  s3.middlewareStack.add(
    (next, { commandName }) =>
      async (args) =>
        commandName === 'GetBucketLifecycleConfigurationCommand'
          ? { response: undefined, output: { $metadata: {}, Rules: rules } }
          : next(args),
    { step: 'initialize' },
  )
  assert.equal(await wrong(checksOfBucket(false), 'bucket-lifecycle'), [
    'error: A rule aborts multipart uploads after 1 days; they can be resumed for 7 days.',
    'error: The rule tidy deletes originals after 90 days.',
  ])
})

test('a queue that is missing, shows events too early, or loses those that fail', async () => {
  const checks = () => queueChecks({ sqs, queueUrl: queueUrl() })
  const none = queueChecks({ sqs, queueUrl: queueUrl().replace(/[^/]+$/, 'none') })
  assert.match((await wrong(none, 'queue'))[0] ?? '', 'error: There is no queue ')

  const set = (attributes: Record<string, string>) =>
    sqs.send(new SetQueueAttributesCommand({ QueueUrl: queueUrl(), Attributes: attributes }))
  const { deadLetterTargetArn } = JSON.parse(await redrivePolicy())
  await set({
    VisibilityTimeout: '1',
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 3 }),
  })
  assert.equal(await wrong(checks(), 'queue'), [
    'error: A received event is visible again after 1 s; workers hold it for 60 s, so files are processed twice.',
    'warning: An event becomes a dead letter after 3 receives, during an outage of 3 min; 60 are meant.',
  ])
  const dead = queueUrl().replace(/[^/]+$/, String(deadLetterTargetArn).split(':').at(-1) ?? '')
  await sqs.send(new SendMessageCommand({ QueueUrl: dead, MessageBody: '{}' }))
  assert.equal(await wrong(checks(), 'dead-letters'), [
    'warning: 1 event is a dead letter: their uploads were not processed.',
  ])
  await set({ RedrivePolicy: '' })
  assert.match((await wrong(checks(), 'queue')).at(-1) ?? '', 'The queue has no dead-letter queue')

  async function redrivePolicy(): Promise<string> {
    const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl(), AttributeNames: ['RedrivePolicy'] })
    return (await sqs.send(command)).Attributes?.['RedrivePolicy'] ?? ''
  }
})

test('each missing permission is named', async () => {
  const denied: [name: string, permission: string, matches: (method: string, path: string) => boolean][] = [
    ['bucket-permissions', 's3:ListBucketVersions', (_, path) => /[?&]versions/.test(path)],
    ['bucket-permissions', 's3:GetBucketVersioning', (_, path) => /[?&]versioning/.test(path)],
    [
      'api-permissions',
      's3:GetObject on keys/*',
      (method, path) => method === 'GET' && path.includes('/keys/'),
    ],
    [
      'api-permissions',
      's3:PutObject on originals/*',
      (method, path) => method === 'POST' && path.includes('/originals/'),
    ],
    [
      'worker-permissions',
      's3:ListMultipartUploadParts on originals/*',
      (method, path) => method === 'GET' && path.includes('/originals/') && path.includes('uploadId'),
    ],
    [
      'worker-permissions',
      's3:DeleteObjectVersion on variants/*',
      (method, path) => method === 'DELETE' && path.includes('/variants/') && path.includes('versionId=null'),
    ],
  ]
  for (const [name, permission, matches] of denied) {
    proxy.intercept(({ method, path }) => (matches(method, path) ? 'deny' : 'pass'))
    const checks = permissionChecks({ s3, sqs, bucket: bucket(), queueUrl: queueUrl() })
    assert.equal(await wrong(checks, name), [`error: The credentials in use lack ${permission}.`])
  }
})

test('a clock that is wrong by minutes', async () => {
  let skewMs = 0
  const server = createServer((_, response) => {
    response.sendDate = false
    // Without credentials that S3 knows, it refuses; its date is right all the same.
    response.writeHead(403, { date: new Date(Date.now() + skewMs).toUTCString() }).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${address.port}`,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    maxAttempts: 1,
  })
  try {
    const found = () => wrong(clockChecks({ s3: client, bucket: 'any' }), 'clock')
    assert.equal(await found(), [])
    skewMs = -2 * 60_000
    assert.match(
      (await found())[0] ?? '',
      /^warning: This machine's clock differs from that of S3 by 1(19|20|21) s/,
    )
    skewMs = 20 * 60_000
    assert.match((await found())[0] ?? '', /^error: .* AWS refuses signatures from 15 min on\.$/)
  } finally {
    client.destroy()
    server.close()
  }
})

test.run()
