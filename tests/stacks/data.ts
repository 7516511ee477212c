import {
  erasedPrefix,
  manifestsPrefix,
  originalsPrefix,
  variantsPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { erasureMarkerLifeMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { all, deployed, dev, production, sstDev, staging, world } from './clouds.ts'
import { at, behind, list, ofType, one, parse, statements, texts, userDataOf } from './find.ts'

const queueType = 'aws:sqs/queue:Queue'
const redisType = 'aws:elasticache/replicationGroup:ReplicationGroup'
const lifecycleType = 'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration'

const dayMs = 24 * 60 * 60 * 1000

const test = suite('bucket, queue, Redis')

test('the bucket is private, takes TLS only, keeps versions, and is encrypted by our key', () => {
  for (const cloud of Object.values(all)) {
    const { inputs } = one(
      cloud,
      'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock',
      'LedgerPublicAccessBlock',
    )
    for (const block of [
      'blockPublicAcls',
      'blockPublicPolicy',
      'ignorePublicAcls',
      'restrictPublicBuckets',
    ]) {
      assert.is(inputs[block], true, block)
    }
    const policy = statements(one(cloud, 'aws:s3/bucketPolicy:BucketPolicy', 'LedgerPolicy').inputs['policy'])
    assert.ok(
      policy.some(
        ({ effect, conditions }) =>
          effect === 'Deny' && at(conditions, 'Bool', 'aws:SecureTransport', 0) === 'false',
      ),
    )
    const versioning = one(cloud, 'aws:s3/bucketVersioning:BucketVersioning', 'LedgerVersioning').inputs
    assert.is(at(versioning, 'versioningConfiguration', 'status'), 'Enabled')
    const encryption = one(
      cloud,
      'aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration',
      'LedgerEncryption',
    )
    assert.is(
      at(encryption.inputs, 'rules', 0, 'applyServerSideEncryptionByDefault', 'sseAlgorithm'),
      'aws:kms',
    )
    assert.is(at(encryption.inputs, 'rules', 0, 'bucketKeyEnabled'), true)
    assert.equal(
      behind(cloud, encryption, 'rules').map(({ name }) => name),
      ['Key'],
    )
  }
})

test("the console's page may send files and read the ETag, and no other page", () => {
  const rule = (cloud: typeof dev) =>
    at(
      one(cloud, 'aws:s3/bucketCorsConfiguration:BucketCorsConfiguration', 'LedgerCors').inputs,
      'corsRules',
      0,
    )
  assert.equal(texts(at(rule(world), 'allowedOrigins')), ['https://media.example.com'])
  assert.equal(texts(at(rule(sstDev), 'allowedOrigins')), ['http://localhost:3000'])
  assert.equal(texts(at(rule(production), 'allowedOrigins')), [
    'http://loadbalancer-1234567.us-east-1.elb.amazonaws.com',
  ])
  assert.equal(texts(at(rule(production), 'exposeHeaders')), ['ETag', 'Location'])
  assert.ok(texts(at(rule(production), 'allowedMethods')).includes('PUT'))
})

test('what was never completed, replaced or deleted is forgotten', () => {
  const rules = list(one(production, lifecycleType, 'LedgerLifecycle').inputs['rules'])
  const days = (...path: string[]) =>
    rules.map((rule) => at(rule, ...path)).find((value) => value !== undefined)
  assert.is(days('abortIncompleteMultipartUpload', 'daysAfterInitiation'), openUploadLifeMs / dayMs)
  assert.is(days('noncurrentVersionExpiration', 'noncurrentDays'), 30)
  assert.is(days('expiration', 'expiredObjectDeleteMarker'), true)
  assert.not.ok(
    rules.some((rule) => at(rule, 'expiration', 'days')),
    'nothing that is current expires',
  )
})

test('originals are archived when the settings say so, and only originals', () => {
  const archives = (cloud: typeof dev) =>
    list(one(cloud, lifecycleType, 'LedgerLifecycle').inputs['rules']).filter((rule) =>
      at(rule, 'transitions'),
    )
  assert.equal(archives(production), [])
  const [rule] = archives(world)
  assert.is(at(rule, 'filter', 'prefix'), 'originals/')
  assert.equal(at(rule, 'transitions'), [
    { days: 30, storageClass: 'GLACIER_IR' },
    { days: 365, storageClass: 'DEEP_ARCHIVE' },
  ])
})

test('the bucket and its objects outlive the stack in production only', () => {
  const bucket = (cloud: typeof dev) => one(cloud, 'aws:s3/bucket:Bucket', 'LedgerBucket')
  assert.equal([bucket(production).inputs['forceDestroy'], bucket(production).retainOnDelete], [false, true])
  assert.is(bucket(dev).inputs['forceDestroy'], true)
})

test('S3 tells the queue of originals, and nobody else can', () => {
  for (const cloud of Object.values(all)) {
    const notification = one(cloud, 'aws:s3/bucketNotification:BucketNotification', 'EventsOfOriginals')
    const [queue] = list(notification.inputs['queues'])
    assert.is(at(queue, 'filterPrefix'), 'originals/')
    for (const each of list(notification.inputs['queues'])) {
      assert.equal(texts(at(each, 'events')), ['s3:ObjectCreated:*'])
      assert.is(at(each, 'queueArn'), one(cloud, queueType, 'Events').outputs['arn'])
    }
    const [policy] = behind(cloud, notification, '').filter(
      ({ type }) => type === 'aws:sqs/queuePolicy:QueuePolicy',
    )
    const allowed = statements(policy?.inputs['policy']).filter(({ effect }) => effect === 'Allow')
    assert.is(allowed.length, 1)
    assert.equal(allowed[0]?.principals, ['s3.amazonaws.com'])
    assert.is(
      at(allowed[0]?.conditions, 'ArnEquals', 'aws:SourceArn'),
      one(cloud, 'aws:s3/bucket:Bucket', 'LedgerBucket').outputs['arn'],
    )
  }
})

test('a message that nobody can deal with ends in the dead-letter queue, which takes no others', () => {
  const events = one(production, queueType, 'Events')
  const redrive = parse(events.inputs['redrivePolicy'])
  assert.is(at(redrive, 'deadLetterTargetArn'), one(production, queueType, 'DeadLetters').outputs['arn'])
  assert.is(at(redrive, 'maxReceiveCount'), 10)
  const allow = one(production, 'aws:sqs/redriveAllowPolicy:RedriveAllowPolicy', 'DeadLettersAllow').inputs
  assert.equal(at(parse(allow['redriveAllowPolicy']), 'sourceQueueArns'), [events.outputs['arn']])
})

test('Redis is Valkey with a replica in another zone that takes over', () => {
  const { inputs, protect } = one(production, redisType, 'Redis')
  assert.is(inputs['engine'], 'valkey')
  assert.is(inputs['numCacheClusters'], 2)
  assert.is(inputs['automaticFailoverEnabled'], true)
  assert.is(inputs['multiAzEnabled'], true)
  assert.is(inputs['snapshotRetentionLimit'], 7)
  assert.ok(protect)
  assert.is(inputs['numNodeGroups'], undefined, "BullMQ's scripts can't span a cluster's slots")
  assert.is(one(dev, redisType, 'Redis').inputs['automaticFailoverEnabled'], false)
})

test('Redis takes TLS and a token only, is encrypted by our key, and evicts nothing', () => {
  for (const cloud of Object.values(deployed)) {
    const redis = one(cloud, redisType, 'Redis')
    assert.is(redis.inputs['transitEncryptionEnabled'], true)
    assert.is(redis.inputs['transitEncryptionMode'], 'required')
    assert.is(redis.inputs['atRestEncryptionEnabled'], true)
    assert.is(String(redis.inputs['authToken']).length, 64)
    assert.equal(
      behind(cloud, redis, 'kmsKeyId').map(({ name }) => name),
      ['Key'],
    )
    const [parameters] = behind(cloud, redis, 'parameterGroupName')
    assert.equal(parameters?.inputs['parameters'], [{ name: 'maxmemory-policy', value: 'noeviction' }])
    assert.equal(
      behind(cloud, redis, 'securityGroupIds').map(({ name }) => name),
      ['RedisGroup'],
    )
  }
})

test('CloudFront reads variants only, and only for URLs that the API has signed', () => {
  const distribution = one(staging, 'aws:cloudfront/distribution:Distribution', 'Cdn')
  const origin = at(distribution.inputs, 'origins', 0)
  assert.is(at(origin, 'originAccessControlId'), 'CdnAccess-id')
  assert.equal(at(distribution.inputs, 'defaultCacheBehavior', 'trustedKeyGroups'), ['CdnKeyGroup-id'])
  assert.is(at(distribution.inputs, 'defaultCacheBehavior', 'viewerProtocolPolicy'), 'https-only')
  const policy = statements(one(staging, 'aws:s3/bucketPolicy:BucketPolicy', 'LedgerPolicy').inputs['policy'])
  const [reader] = policy.filter(({ effect }) => effect === 'Allow')
  assert.equal(reader?.principals, ['cloudfront.amazonaws.com'])
  assert.ok(reader?.resources.every((resource) => resource.endsWith('/variants/*')))
  assert.is(
    at(reader?.conditions, 'ArnLike', 'aws:SourceArn', 0),
    'arn:aws:cloudfront::123456789012:distribution/*',
  )
  assert.is(ofType(production, 'aws:cloudfront/distribution:Distribution').length, 0)
})

test('two regions copy to each other, each with its own key', () => {
  const type = 'aws:s3/bucketReplicationConfig:BucketReplicationConfig'
  assert.is(ofType(production, type).length, 0)
  for (const [here, there] of [
    ['', 'EuWest1'],
    ['EuWest1', ''],
  ]) {
    const { inputs } = one(world, type, `Replication${here}`)
    const rules = list(inputs['rules'])
    assert.equal(
      rules.map((rule) => at(rule, 'filter', 'prefix')),
      [originalsPrefix, manifestsPrefix, variantsPrefix, erasedPrefix],
    )
    assert.is(new Set(rules.map((rule) => at(rule, 'priority'))).size, rules.length)
    const bucketOf = (suffix = '') => one(world, 'aws:s3/bucket:Bucket', `Ledger${suffix}Bucket`).outputs
    assert.is(inputs['bucket'], bucketOf(here)['bucket'])
    for (const rule of rules) {
      assert.is(at(rule, 'destination', 'bucket'), bucketOf(there)['arn'])
      assert.is(
        at(rule, 'destination', 'encryptionConfiguration', 'replicaKmsKeyId'),
        one(world, 'aws:kms/key:Key', `Key${there}`).outputs['arn'],
      )
      assert.is(at(rule, 'sourceSelectionCriteria', 'sseKmsEncryptedObjects', 'status'), 'Enabled')
      assert.is(at(rule, 'deleteMarkerReplication', 'status'), 'Enabled')
    }
  }
})

test('two regions hear of what the other one finished and erased, and forget erasures; one region does nothing of it', () => {
  const told = (cloud: typeof dev, region = '') => {
    const type = 'aws:s3/bucketNotification:BucketNotification'
    const { inputs } = one(cloud, type, `EventsOfOriginals${region}`)
    return list(inputs['queues']).map((queue) => at(queue, 'filterPrefix'))
  }
  const erasures = (cloud: typeof dev, region = '') =>
    list(one(cloud, lifecycleType, `LedgerLifecycle${region}`).inputs['rules']).filter(
      (rule) => at(rule, 'filter', 'prefix') === 'erased/',
    )
  const isTold = (cloud: typeof dev, template: string) =>
    userDataOf(one(cloud, 'aws:ec2/launchTemplate:LaunchTemplate', template)).includes('BUCKET_REPLICATED')
  for (const region of ['', 'EuWest1']) {
    assert.equal(told(world, region), ['originals/', 'manifests/', 'erased/'])
    const [rule, ...more] = erasures(world, region)
    assert.equal([at(rule, 'expiration'), more], [{ days: erasureMarkerLifeMs / dayMs }, []])
    assert.equal(at(rule, 'noncurrentVersionExpiration'), { noncurrentDays: 1 })
    assert.ok(isTold(world, `ApiTemplate${region}`) && isTold(world, `WorkerTemplate${region}`))
  }
  for (const cloud of [sstDev, dev, staging, production]) {
    assert.equal([told(cloud), erasures(cloud)], [['originals/'], []])
    if (cloud !== sstDev) assert.not.ok(isTold(cloud, 'ApiTemplate') || isTold(cloud, 'WorkerTemplate'))
  }
})

test('both regions have everything, and seal sessions with the same keys', () => {
  const count = (provider: string) => {
    const types: Record<string, number> = {}
    for (const resource of world.resources) {
      if (resource.provider.includes(`::${provider}::`))
        types[resource.type] = (types[resource.type] ?? 0) + 1
    }
    delete types['aws:budgets/budget:Budget']
    return types
  }
  assert.equal(count('ProviderEuWest1'), count('Provider'))
  const parameter = (name: string) => one(world, 'aws:ssm/parameter:Parameter', name).inputs['value']
  assert.is(parameter('ApiSessionKeysEuWest1'), parameter('ApiSessionKeys'))
  assert.is.not(parameter('ApiRedisUrlEuWest1'), parameter('ApiRedisUrl'))
})

test.run()
