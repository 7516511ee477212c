import {
  apiKeysPrefix,
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
  receiptsPrefix,
  revocationsPrefix,
  usersPrefix,
  variantsPrefix,
  webhooksPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { erasureMarkerLifeMs, openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import * as assert from 'uvu/assert'
import { variantCaching } from '../../stacks/cdn-caching.ts'
import type { Json } from '../support/mock-aws.ts'
import { suite } from '../support/suite.ts'
import { all, deployed, dev, production, sstDev, staging, twoRegions } from './clouds.ts'
import { at, behind, list, ofType, one, parse, statements, texts, userDataOf } from './find.ts'

const queueType = 'aws:sqs/queue:Queue'
const redisType = 'aws:elasticache/replicationGroup:ReplicationGroup'
const lifecycleType = 'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration'

const dayMs = 24 * 60 * 60 * 1000

const test = suite('bucket, queue, Redis')

test('the bucket is private, accepts TLS only, is versioned, and is encrypted with our key', () => {
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

test("the bucket's CORS rules let only the console and allowed origins send files and read the ETag", () => {
  const rules = (cloud: typeof dev) =>
    list(
      one(cloud, 'aws:s3/bucketCorsConfiguration:BucketCorsConfiguration', 'LedgerCors').inputs['corsRules'],
    )
  const rule = (cloud: typeof dev) => rules(cloud)[0]
  assert.equal(texts(at(rule(twoRegions), 'allowedOrigins')), ['https://media.example.com'])
  assert.equal(texts(at(rule(sstDev), 'allowedOrigins')), ['http://localhost:3000', 'http://localhost:5173'])
  assert.equal(texts(at(rule(staging), 'allowedOrigins')), [
    'https://staging.example.com',
    'https://app.example.com',
    'https://*.example.org',
  ])
  // After a redirect from another origin, browsers send `Origin: null`.
  const redirected = rules(staging)[1]
  assert.equal(texts(at(redirected, 'allowedOrigins')), ['null'])
  assert.equal(texts(at(redirected, 'allowedMethods')), ['GET', 'HEAD'])
  assert.is(rules(production).length, 1)
  assert.equal(texts(at(rule(production), 'allowedOrigins')), [
    'http://loadbalancer-1234567.us-east-1.elb.amazonaws.com',
  ])
  assert.equal(texts(at(rule(production), 'exposeHeaders')), ['ETag', 'Location'])
  assert.ok(texts(at(rule(production), 'allowedMethods')).includes('PUT'))
})

test('lifecycle rules remove incomplete uploads and noncurrent versions', () => {
  const rules = list(one(production, lifecycleType, 'LedgerLifecycle').inputs['rules'])
  const days = (...path: string[]) =>
    rules.map((rule) => at(rule, ...path)).find((value) => value !== undefined)
  assert.is(days('abortIncompleteMultipartUpload', 'daysAfterInitiation'), openUploadLifeMs / dayMs)
  assert.is(days('noncurrentVersionExpiration', 'noncurrentDays'), 30)
  assert.is(days('expiration', 'expiredObjectDeleteMarker'), true)
  // Of current objects, only these expire: unfinished bytes and announcements a day after their uploads, revocations, erasure markers.
  assert.equal(
    rules
      .filter((rule) => at(rule, 'expiration', 'days'))
      .map((rule) => [
        at(rule, 'filter', 'prefix'),
        at(rule, 'expiration', 'days'),
        at(rule, 'noncurrentVersionExpiration', 'noncurrentDays'),
      ]),
    [
      ['unfinished/', openUploadLifeMs / dayMs + 1, 1],
      ['revocations/', 8, 1],
      ['erasures/', erasureMarkerLifeMs / dayMs, 1],
    ],
  )
})

test('replaced originals, users, webhooks and events go after a day, whatever the settings keep of others', () => {
  for (const cloud of [production, dev, twoRegions]) {
    for (const prefix of ['originals/', 'users/', 'webhooks/', 'outbox/']) {
      const noncurrentDays = list(one(cloud, lifecycleType, 'LedgerLifecycle').inputs['rules'])
        .filter((rule) => at(rule, 'filter', 'prefix') === prefix)
        .map((rule) => at(rule, 'noncurrentVersionExpiration', 'noncurrentDays'))
      assert.ok(noncurrentDays.includes(1), `${prefix} ${JSON.stringify(noncurrentDays)}`)
    }
  }
})

test('lifecycle rules archive only originals, and only if the settings configure it', () => {
  const archives = (cloud: typeof dev) =>
    list(one(cloud, lifecycleType, 'LedgerLifecycle').inputs['rules']).filter((rule) =>
      at(rule, 'transitions'),
    )
  assert.equal(archives(production), [])
  const [rule] = archives(twoRegions)
  assert.is(at(rule, 'filter', 'prefix'), 'originals/')
  assert.equal(at(rule, 'transitions'), [
    { days: 30, storageClass: 'GLACIER_IR' },
    { days: 365, storageClass: 'DEEP_ARCHIVE' },
  ])
})

/** Whether an explicit denial of the ledger's policy meets a request. `undefined`: the request has no such key. */
function denies(
  cloud: typeof dev,
  request: { principal?: string; isService?: boolean; action: string; path?: string; suffix?: string },
): boolean {
  const { principal, isService, action, path, suffix = '' } = request
  const bucketArn = String(one(cloud, 'aws:s3/bucket:Bucket', `Ledger${suffix}Bucket`).outputs['arn'])
  const resource = path === undefined ? bucketArn : `${bucketArn}/${path}`
  const like = (pattern: string, text: string) =>
    new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`).test(text)
  const policy = one(cloud, 'aws:s3/bucketPolicy:BucketPolicy', `Ledger${suffix}Policy`).inputs['policy']
  return statements(policy).some(({ effect, principals, actions, resources, conditions }) => {
    if (effect !== 'Deny' || !principals.includes('*')) return false
    if (!actions.some((each) => like(each, action))) return false
    if (!resources.some((each) => like(each, resource))) return false
    return entries(conditions).every(([operator, keys]) =>
      entries(keys).every(([key, value]) => {
        const values = texts(value)
        // A negated operator, and one with IfExists, is met by a request without the key.
        if (operator === 'ArnNotLike' && key === 'aws:PrincipalArn')
          return principal === undefined || !values.some((each) => like(each, principal))
        if (operator === 'BoolIfExists' && key === 'aws:PrincipalIsAWSService')
          return isService === undefined || values.includes(String(isService))
        // All these requests use TLS.
        assert.equal([operator, key, values], ['Bool', 'aws:SecureTransport', ['false']])
        return false
      }),
    )
  })
}

function entries(value: Json): [string, Json][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

const roleArn = (cloud: typeof dev, name: string) =>
  String(one(cloud, 'aws:iam/role:Role', name).outputs['arn'])

test('the bucket denies its objects to all but the roles, also to other roles that may use all of S3', () => {
  const someAdministrator = 'arn:aws:iam::123456789012:role/SomeAdministrator'
  const objectActions = ['GetObject', 'GetObjectVersion', 'PutObject', 'DeleteObject', 'DeleteObjectVersion']
  for (const cloud of Object.values(deployed)) {
    for (const suffix of cloud === twoRegions ? ['', 'EuWest1'] : ['']) {
      for (const action of objectActions.map((each) => `s3:${each}`)) {
        const about = { action, path: 'originals/anna/0190', suffix }
        for (const role of ['ApiRole', 'WorkerRole']) {
          const principal = roleArn(cloud, `${role}${suffix}`)
          assert.is(denies(cloud, { principal, isService: false, ...about }), false, `${role} ${action}`)
        }
        assert.is(denies(cloud, { principal: someAdministrator, isService: false, ...about }), true, action)
        assert.is(denies(cloud, about), true, `without credentials ${action}`)
        // CloudFront, the access log's delivery.
        assert.is(denies(cloud, { isService: true, ...about }), false, `a service of AWS ${action}`)
      }
    }
  }
})

test('nobody is locked out by the bucket: administrators list, change the policy, remove; root reads', () => {
  const principal = 'arn:aws:iam::123456789012:role/SomeAdministrator'
  for (const action of [
    'ListBucket',
    'PutBucketPolicy',
    'DeleteBucketPolicy',
    'DeleteBucket',
    'GetBucketCORS',
  ]) {
    assert.is(denies(production, { principal, isService: false, action: `s3:${action}` }), false, action)
  }
  const read = { isService: false, action: 's3:GetObject', path: 'originals/anna/0190' }
  assert.is(denies(production, { principal: 'arn:aws:iam::123456789012:root', ...read }), false)
  // Removing a stage deletes the policy before it empties the bucket.
  const policy = one(production, 'aws:s3/bucketPolicy:BucketPolicy', 'LedgerPolicy')
  assert.ok(behind(production, policy, 'bucket').some(({ name }) => name === 'LedgerBucket'))
})

test('MILLRACE_OPERATORS may use objects, and so may any developer under `sst dev`', () => {
  const read = { isService: false, action: 's3:GetObject', path: 'originals/anna/0190' }
  const sso =
    'arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Ops_1a2b'
  assert.is(denies(staging, { principal: sso, ...read }), false)
  assert.is(denies(production, { principal: sso, ...read }), true)
  assert.is(denies(sstDev, { principal: sso, ...read }), false)
})

test('the bucket admits the replication roles of all regions, and only they may replicate', () => {
  for (const suffix of ['', 'EuWest1']) {
    for (const role of ['ReplicationRole', 'ReplicationRoleEuWest1']) {
      for (const action of [
        's3:ReplicateObject',
        's3:ReplicateDelete',
        's3:GetObjectVersionForReplication',
      ]) {
        const request = { isService: false, action, path: 'originals/anna/0190', suffix }
        assert.is(denies(twoRegions, { principal: roleArn(twoRegions, role), ...request }), false)
        assert.is(denies(twoRegions, { principal: `${roleArn(twoRegions, 'ApiRole')}x`, ...request }), true)
      }
    }
    const otherRegion = suffix === '' ? 'ApiRoleEuWest1' : 'ApiRole'
    const read = { isService: false, action: 's3:GetObject', path: 'manifests/anna/0190.json', suffix }
    assert.is(denies(twoRegions, { principal: roleArn(twoRegions, otherRegion), ...read }), true)
  }
})

test('removing a stage deletes its bucket, except in production', () => {
  const bucket = (cloud: typeof dev) => one(cloud, 'aws:s3/bucket:Bucket', 'LedgerBucket')
  assert.equal([bucket(production).inputs['forceDestroy'], bucket(production).retainOnDelete], [false, true])
  assert.is(bucket(dev).inputs['forceDestroy'], true)
})

test('only S3 can send to the queue, and sends events of originals', () => {
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

test('a message that was received 60 times moves to the dead-letter queue, which accepts no other messages', () => {
  const events = one(production, queueType, 'Events')
  const redrive = parse(events.inputs['redrivePolicy'])
  assert.is(at(redrive, 'deadLetterTargetArn'), one(production, queueType, 'DeadLetters').outputs['arn'])
  assert.is(at(redrive, 'maxReceiveCount'), 60)
  const allow = one(production, 'aws:sqs/redriveAllowPolicy:RedriveAllowPolicy', 'DeadLettersAllow').inputs
  assert.equal(at(parse(allow['redriveAllowPolicy']), 'sourceQueueArns'), [events.outputs['arn']])
})

test('Redis is Valkey with a replica in another zone and automatic failover', () => {
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

test('each replacement of Redis ends with a snapshot of a name of its own', () => {
  const snapshot = one(production, 'random:index/randomId:RandomId', 'RedisFinalSnapshot')
  const { inputs } = one(production, redisType, 'Redis')
  assert.match(String(inputs['finalSnapshotIdentifier']), /^millrace-production-redis-final-[0-9a-f]{8}$/)
  assert.ok(String(inputs['finalSnapshotIdentifier']).endsWith(String(snapshot.outputs['hex'])))
  // AWS deletes the replaced group with the name in its own state, so the next name must differ: it changes with each
  // input whose change replaces the group.
  const keepers = snapshot.inputs['keepers']
  for (const [input, keeper] of [
    ['kmsKeyId', 'key'],
    ['subnetGroupName', 'subnets'],
    ['port', 'port'],
    ['engine', 'engine'],
    ['engineVersion', 'engine'],
    ['atRestEncryptionEnabled', 'encryption'],
    ['transitEncryptionEnabled', 'encryption'],
  ] as const) {
    assert.ok(String(at(keepers, keeper)).includes(String(inputs[input])), input)
  }
  // Snapshots would stay behind after a stage that keeps nothing.
  assert.is(one(dev, redisType, 'Redis').inputs['finalSnapshotIdentifier'], undefined)
})

test('Redis requires TLS and a token, is encrypted with our key, and evicts nothing', () => {
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

test('CloudFront reads only variants, and serves only URLs that the API has signed', () => {
  const distribution = one(staging, 'aws:cloudfront/distribution:Distribution', 'Cdn')
  const origin = at(distribution.inputs, 'origins', 0)
  assert.is(at(origin, 'originAccessControlId'), 'CdnAccess-id')
  assert.equal(at(distribution.inputs, 'defaultCacheBehavior', 'trustedKeyGroups'), ['CdnKeyGroup-id'])
  assert.is(at(distribution.inputs, 'defaultCacheBehavior', 'cachePolicyId'), 'CdnCache-id')
  assert.is(at(distribution.inputs, 'defaultCacheBehavior', 'viewerProtocolPolicy'), 'https-only')
  assert.ok(texts(at(distribution.inputs, 'defaultCacheBehavior', 'allowedMethods')).includes('OPTIONS'))
  const { name: _, ...caching } = one(staging, 'aws:cloudfront/cachePolicy:CachePolicy', 'CdnCache').inputs
  // What it does with the headers of real variants is shown by tests/worker/withdrawals.
  assert.equal(caching, variantCaching)
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

test('the buckets of two regions copy to each other, each with its own key', () => {
  const type = 'aws:s3/bucketReplicationConfig:BucketReplicationConfig'
  assert.is(ofType(production, type).length, 0)
  for (const [here, there] of [
    ['', 'EuWest1'],
    ['EuWest1', ''],
  ]) {
    const { inputs } = one(twoRegions, type, `Replication${here}`)
    const rules = list(inputs['rules'])
    assert.equal(
      rules.map((rule) => at(rule, 'filter', 'prefix')),
      [
        originalsPrefix,
        manifestsPrefix,
        variantsPrefix,
        erasuresPrefix,
        editsPrefix,
        apiKeysPrefix,
        usersPrefix,
        webhooksPrefix,
        revocationsPrefix,
        receiptsPrefix,
      ],
    )
    assert.is(new Set(rules.map((rule) => at(rule, 'priority'))).size, rules.length)
    const bucketOf = (suffix = '') => one(twoRegions, 'aws:s3/bucket:Bucket', `Ledger${suffix}Bucket`).outputs
    assert.is(inputs['bucket'], bucketOf(here)['bucket'])
    for (const rule of rules) {
      assert.is(at(rule, 'destination', 'bucket'), bucketOf(there)['arn'])
      assert.is(
        at(rule, 'destination', 'encryptionConfiguration', 'replicaKmsKeyId'),
        one(twoRegions, 'aws:kms/key:Key', `Key${there}`).outputs['arn'],
      )
      assert.is(at(rule, 'sourceSelectionCriteria', 'sseKmsEncryptedObjects', 'status'), 'Enabled')
      assert.is(at(rule, 'deleteMarkerReplication', 'status'), 'Enabled')
    }
  }
})

test('only with several regions, S3 sends events of manifests and erasures, and expires erasure markers', () => {
  const notifiedPrefixes = (cloud: typeof dev, region = '') => {
    const type = 'aws:s3/bucketNotification:BucketNotification'
    const { inputs } = one(cloud, type, `EventsOfOriginals${region}`)
    return list(inputs['queues']).map((queue) => at(queue, 'filterPrefix'))
  }
  const erasures = (cloud: typeof dev, region = '') =>
    list(one(cloud, lifecycleType, `LedgerLifecycle${region}`).inputs['rules']).filter(
      (rule) => at(rule, 'filter', 'prefix') === 'erasures/',
    )
  const isReplicated = (cloud: typeof dev, template: string) =>
    userDataOf(one(cloud, 'aws:ec2/launchTemplate:LaunchTemplate', template)).includes('BUCKET_REPLICATED')
  for (const region of ['', 'EuWest1']) {
    assert.equal(notifiedPrefixes(twoRegions, region), ['originals/', 'erasures/', 'edits/', 'manifests/'])
    const [rule, ...more] = erasures(twoRegions, region)
    assert.equal([at(rule, 'expiration'), more], [{ days: erasureMarkerLifeMs / dayMs }, []])
    assert.equal(at(rule, 'noncurrentVersionExpiration'), { noncurrentDays: 1 })
    assert.ok(
      isReplicated(twoRegions, `ApiTemplate${region}`) && isReplicated(twoRegions, `WorkerTemplate${region}`),
    )
  }
  for (const cloud of [sstDev, dev, staging, production]) {
    assert.equal(notifiedPrefixes(cloud), ['originals/', 'erasures/', 'edits/'])
    assert.is(erasures(cloud).length, 1)
    if (cloud !== sstDev)
      assert.not.ok(isReplicated(cloud, 'ApiTemplate') || isReplicated(cloud, 'WorkerTemplate'))
  }
})

test('both regions have the same resources, and seal sessions with the same keys', () => {
  const count = (provider: string) => {
    const types: Record<string, number> = {}
    for (const resource of twoRegions.resources) {
      if (resource.provider.includes(`::${provider}::`))
        types[resource.type] = (types[resource.type] ?? 0) + 1
    }
    delete types['aws:budgets/budget:Budget']
    // Route 53 has metrics in us-east-1 only.
    delete types['aws:cloudwatch/metricAlarm:MetricAlarm']
    return types
  }
  assert.equal(count('ProviderEuWest1'), count('Provider'))
  const parameter = (name: string) => one(twoRegions, 'aws:ssm/parameter:Parameter', name).inputs['value']
  assert.is(parameter('ApiSessionKeysEuWest1'), parameter('ApiSessionKeys'))
  assert.is.not(parameter('ApiRedisUrlEuWest1'), parameter('ApiRedisUrl'))
})

test.run()
