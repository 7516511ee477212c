import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import type { Json } from '../support/mock-aws.ts'
import { buildCloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { all, dev, production, sstDev, staging, twoRegions } from './clouds.ts'
import { at, list, ofType, one, texts } from './find.ts'

const test = suite('stages')

test('`sst dev` creates a real bucket and queue, and no network, instances or Redis', () => {
  const kinds = new Set(sstDev.resources.map(({ type }) => type.split('/')[0]))
  for (const service of ['aws:s3', 'aws:sqs', 'aws:kms']) assert.ok(kinds.has(service), service)
  for (const service of ['aws:ec2', 'aws:lb', 'aws:autoscaling', 'aws:elasticache', 'aws:wafv2', 'aws:ecr']) {
    assert.not.ok(kinds.has(service), service)
  }
})

test('`sst dev` runs one command that starts everything locally, with valid settings', () => {
  const [command, ...others] = ofType(sstDev, 'sst:sst:DevCommand')
  assert.equal(others, [])
  const run = command?.outputs['_dev']
  assert.is(at(run, 'command'), 'node packages/local/run.mjs packages/local/src/dev-main.ts')
  assert.is(at(run, 'autostart'), true)
  // The command itself starts Redis, or uses the developer's.
  const environment = { ...environmentOf(run), REDIS_URL: 'redis://127.0.0.1:6379' }
  assert.is(environmentOf(run)['REDIS_URL'], undefined)
  const api = readApiConfig(environment)
  assert.is(api.bucket, one(sstDev, 'aws:s3/bucket:Bucket', 'LedgerBucket').outputs['bucket'])
  assert.is(api.eventsQueueUrl, one(sstDev, 'aws:sqs/queue:Queue', 'Events').outputs['url'])
  assert.equal([api.port, api.publicOrigin], [3000, 'http://localhost:3000'])
  assert.is(api.anonymousUploads, true)
  assert.equal(api.allowedOrigins, ['http://localhost:5173'])
  assert.is(readWorkerConfig(environment).bucket, api.bucket)
})

test('`sst dev` refuses a protected stage, because it would remove most of its resources', async () => {
  try {
    await buildCloud({ stage: 'production', dev: true })
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /would remove most resources of stage "production"/)
  }
})

test('production is protected, and other stages can be removed', () => {
  const protection = (cloud: typeof dev) => [cloud.app['removal'], cloud.app['protect']]
  assert.equal(protection(production), ['retain', true])
  assert.equal(protection(staging), ['remove', false])
  assert.equal(protection(dev), ['remove', false])
})

test('the home region is the first one in MILLRACE_REGIONS', () => {
  assert.is(at(twoRegions.app, 'providers', 'aws', 'region'), 'us-east-1')
  assert.is(at(dev.app, 'providers', 'aws', 'region'), 'us-east-1')
})

test('a deploy prints the URL, the bucket and the dashboard of the stage', () => {
  assert.is(twoRegions.outputs['url'], 'https://media.example.com')
  assert.match(String(dev.outputs['dashboard']), /#dashboards\/dashboard\/millrace-ada-fleet$/)
  for (const cloud of Object.values(all)) assert.ok(cloud.outputs['bucket'])
})

test("images are built once, for the instances' architecture, and pushed to every region", () => {
  const image = one(twoRegions, 'docker-build:index:Image', 'WorkerImage').inputs
  assert.is(image['target'], 'worker')
  assert.equal(image['platforms'], ['linux/arm64'])
  assert.is(image['push'], true)
  assert.equal(
    texts(image['tags']).map((tag) => tag.split('.')[3]),
    ['us-east-1', 'eu-west-1'],
  )
  assert.is(list(image['registries']).length, 2)
  assert.is(one(twoRegions, 'docker-build:index:Image', 'ApiImage').inputs['target'], 'api')
})

test('with geolocation, continents go to the configured regions and the others to the home region', async () => {
  const cloud = await buildCloud({
    stage: 'production',
    environment: {
      MILLRACE_REGIONS: 'us-east-1,eu-west-1',
      MILLRACE_DOMAIN: 'media.example.com',
      MILLRACE_ROUTING: 'geolocation',
      MILLRACE_CONTINENTS: 'EU=eu-west-1,AF=eu-west-1',
    },
  })
  const records = ofType(cloud, 'aws:route53/record:Record')
    .filter(({ inputs }) => inputs['geolocationRoutingPolicies'])
    .map(({ inputs }) => [inputs['setIdentifier'], at(inputs, 'geolocationRoutingPolicies', 0)])
  assert.equal(records, [
    ['us-east-1-Rest', { country: '*' }],
    ['eu-west-1-EU', { continent: 'EU' }],
    ['eu-west-1-AF', { continent: 'AF' }],
  ])
})

test('a deploy stops at wrong settings and reports all of them', async () => {
  try {
    await buildCloud({
      stage: 'production',
      environment: { MILLRACE_CDN: 'yes', MILLRACE_DOMIAN: 'a.example' },
    })
    assert.unreachable()
  } catch (error) {
    assert.match(
      String(error),
      /MILLRACE_DOMIAN is not a setting; .*\n.*MILLRACE_CDN is "yes"; allowed: true, false\./,
    )
  }
})

test.run()

function environmentOf(command: Json): Record<string, string> {
  const environment = at(command, 'environment')
  return Object.fromEntries(Object.entries(environment ?? {}).map(([name, value]) => [name, String(value)]))
}
