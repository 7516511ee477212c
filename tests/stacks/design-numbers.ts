// Numbers of the design, written out again: stacks/ and the services derive theirs from common constants, so a test that
// compares those two does not notice a wrong constant.
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { all, deployed, dev, production, staging } from './clouds.ts'
import { at, behind, list, ofType, one, texts } from './find.ts'

const alarmType = 'aws:cloudwatch/metricAlarm:MetricAlarm'
const groupType = 'aws:autoscaling/group:Group'

const test = suite('numbers of the design')

/** Returns a scaling alarm: what it compares, for how many seconds, and the percentages of its steps. */
function scalingAlarm(name: string) {
  const alarm = one(production, alarmType, name)
  const { inputs } = alarm
  const [policy] = behind(production, alarm, 'alarmActions')
  return [
    `${inputs['metricName']} ${inputs['comparisonOperator']} ${inputs['threshold']}`,
    Number(inputs['period']) * Number(inputs['evaluationPeriods']),
    list(policy?.inputs['stepAdjustments']).map((step) => at(step, 'scalingAdjustment')),
  ]
}

test('the API has 2 to 10 instances, scales out at 50 % CPU for 2 minutes and in at 30 % for 5 (DESIGN)', () => {
  const { inputs } = one(production, groupType, 'Api')
  assert.equal([inputs['minSize'], inputs['desiredCapacity'], inputs['maxSize']], [2, 2, 10])
  assert.equal(scalingAlarm('ApiAlarmOutBusy'), [
    'CPUUtilization GreaterThanOrEqualToThreshold 50',
    120,
    [50],
  ])
  assert.equal(scalingAlarm('ApiAlarmIn'), ['CPUUtilization LessThanOrEqualToThreshold 30', 300, [-10]])
})

test('workers track a queue load of 0.7 by values of ten seconds, and scale by demand and backlog (docs/scaling.md)', () => {
  const { inputs } = one(production, groupType, 'Worker')
  assert.equal([inputs['minSize'], inputs['desiredCapacity'], inputs['maxSize']], [2, 2, 40])
  const tracking = one(production, 'aws:autoscaling/policy:Policy', 'WorkerTracking').inputs
  const configuration = tracking['targetTrackingConfiguration']
  assert.equal([at(configuration, 'targetValue'), at(configuration, 'disableScaleIn')], [0.7, true])
  const names = ofType(production, alarmType).flatMap(({ name }) =>
    name.startsWith('WorkerAlarm') ? [name] : [],
  )
  const more = 'GreaterThanOrEqualToThreshold'
  assert.equal(names.map(scalingAlarm), [
    [`Demand ${more} 1.1`, 10, [150]],
    [`Demand ${more} 1.5`, 10, [280]],
    [`Demand ${more} 2.1`, 10, [470]],
    [`Demand ${more} 3`, 10, [750]],
    [`Demand ${more} 4.2`, 10, [1130]],
    [`Demand ${more} 6`, 10, [1700]],
    [`Demand ${more} 8.5`, 10, [2500]],
    [`Demand ${more} 12`, 10, [3500]],
    [`Load ${more} 3`, 300, [100]],
    [`Load ${more} 100`, 10, [1]],
    ['Load LessThanOrEqualToThreshold 0.36', 60, [-40, -55, -70, -85]],
  ])
})

test('without data, nothing scales', () => {
  const scaling = ofType(production, alarmType).filter((alarm) =>
    behind(production, alarm, 'alarmActions').some(({ type }) => type.startsWith('aws:autoscaling/')),
  )
  assert.ok(scaling.length > 10)
  for (const { name, inputs } of scaling) assert.is(inputs['treatMissingData'], 'ignore', name)
})

test('the bucket keeps open uploads for 7 days and erasure markers for 30, and each lifecycle rule is in force', () => {
  for (const cloud of Object.values(all)) {
    for (const { name, inputs } of ofType(
      cloud,
      'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration',
    )) {
      const rules = list(inputs['rules'])
      for (const rule of rules) assert.is(at(rule, 'status'), 'Enabled', `${name} ${at(rule, 'id')}`)
      if (!name.startsWith('Ledger')) continue
      const find = (id: string) => rules.find((rule) => at(rule, 'id') === id)
      assert.equal(at(find('abort-incomplete-uploads'), 'abortIncompleteMultipartUpload'), {
        daysAfterInitiation: 7,
      })
      assert.equal(at(find('expire-erasure-markers'), 'expiration'), { days: 30 })
    }
  }
})

test('production keeps logs for 90 days, and the key and images for a mistake of weeks', () => {
  for (const { name, inputs } of ofType(production, 'aws:cloudwatch/logGroup:LogGroup')) {
    assert.is(inputs['retentionInDays'], 90, name)
  }
  assert.is(one(production, 'aws:kms/key:Key', 'Key').inputs['deletionWindowInDays'], 30)
  for (const { name, inputs } of ofType(production, 'aws:ecr/lifecyclePolicy:LifecyclePolicy')) {
    const kept = at(JSON.parse(String(inputs['policy'])), 'rules', 0, 'selection', 'countNumber')
    assert.ok(Number(kept) >= 10, `${name}: ${kept} images to roll back to`)
  }
})

test('ECR scans each image that is pushed', () => {
  for (const { name, inputs } of ofType(production, 'aws:ecr/repository:Repository')) {
    assert.is(at(inputs, 'imageScanningConfiguration', 'scanOnPush'), true, name)
  }
})

test("metadata of an instance goes one hop, so no container's own network reaches it", () => {
  for (const cloud of Object.values(deployed)) {
    for (const { name, inputs } of ofType(cloud, 'aws:ec2/launchTemplate:LaunchTemplate')) {
      assert.is(at(inputs, 'metadataOptions', 'httpPutResponseHopLimit'), 1, name)
    }
  }
})

test("Valkey's parameters are those of its version, and changes of it apply at once", () => {
  for (const cloud of Object.values(deployed)) {
    for (const redis of ofType(cloud, 'aws:elasticache/replicationGroup:ReplicationGroup')) {
      const [parameters] = behind(cloud, redis, 'parameterGroupName')
      const [major] = String(redis.inputs['engineVersion']).split('.')
      assert.is(parameters?.inputs['family'], `${redis.inputs['engine']}${major}`)
      assert.is(redis.inputs['applyImmediately'], true)
      // With SET, instances with the previous token lose Redis before they are replaced.
      assert.is(redis.inputs['authTokenUpdateStrategy'], 'ROTATE')
    }
  }
})

test('browsers may send every request that an upload or a download needs, and policies alone decide who owns objects', () => {
  for (const cloud of Object.values(all)) {
    for (const { name, inputs } of ofType(cloud, 'aws:s3/bucketCorsConfiguration:BucketCorsConfiguration')) {
      // Forms are POST; parts and single files PUT; downloads GET and HEAD.
      assert.equal(
        texts(at(inputs, 'corsRules', 0, 'allowedMethods')).sort(),
        ['GET', 'HEAD', 'POST', 'PUT'],
        name,
      )
      assert.equal(texts(at(inputs, 'corsRules', 0, 'allowedHeaders')), ['*'], name)
    }
    const ownership = one(cloud, 'aws:s3/bucketOwnershipControls:BucketOwnershipControls', 'LedgerOwnership')
    assert.is(at(ownership.inputs, 'rule', 'objectOwnership'), 'BucketOwnerEnforced')
  }
})

test('CloudFront keeps variants for a day at least, signs its requests to S3, and accepts no writes', () => {
  const { inputs: cache } = one(staging, 'aws:cloudfront/cachePolicy:CachePolicy', 'CdnCache')
  const day = 24 * 60 * 60
  assert.ok(Number(cache['defaultTtl']) >= day && Number(cache['maxTtl']) >= Number(cache['defaultTtl']))
  const access = one(staging, 'aws:cloudfront/originAccessControl:OriginAccessControl', 'CdnAccess').inputs
  assert.equal([access['signingBehavior'], access['signingProtocol']], ['always', 'sigv4'])
  const { inputs } = one(staging, 'aws:cloudfront/distribution:Distribution', 'Cdn')
  assert.equal(texts(at(inputs, 'defaultCacheBehavior', 'allowedMethods')).sort(), ['GET', 'HEAD', 'OPTIONS'])
})

test('after the first deploy, scaling alone sets the number of instances', () => {
  for (const cloud of [dev, production]) {
    for (const { name, ignoreChanges } of ofType(cloud, groupType)) {
      assert.ok(ignoreChanges.includes('desiredCapacity'), name)
    }
  }
})

test.run()
