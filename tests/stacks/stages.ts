import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import type { Json } from '../support/mock-aws.ts'
import { buildCloud } from '../support/mock-cloud.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { cloudPage, readmeWithDrawing } from './cloud-diagram.ts'
import { all, dev, production, sstDev, staging, world } from './clouds.ts'
import { at, list, ofType, one, texts } from './find.ts'

const test = suite('stages')

// Takes some seconds of another core, so it begins before it is asked for.
const types = promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', 'stacks'], { cwd: root }).then(
  () => '',
  (error: { stdout?: string }) => error.stdout ?? String(error),
)

test('sst.config.ts and stacks/ agree with the types of SST and its providers', async () => {
  assert.is(await types, '')
})

test('`sst dev` has a real bucket and queue, and neither network, instances nor Redis', () => {
  const kinds = new Set(sstDev.resources.map(({ type }) => type.split('/')[0]))
  for (const service of ['aws:s3', 'aws:sqs', 'aws:kms']) assert.ok(kinds.has(service), service)
  for (const service of ['aws:ec2', 'aws:lb', 'aws:autoscaling', 'aws:elasticache', 'aws:wafv2', 'aws:ecr']) {
    assert.not.ok(kinds.has(service), service)
  }
})

test('`sst dev` runs Redis, API and worker here, as they could be started anywhere', () => {
  const commands = new Map(
    ofType(sstDev, 'sst:sst:DevCommand').map(({ name, outputs }) => [name, outputs['_dev']]),
  )
  assert.equal([...commands.keys()], ['Redis', 'Api', 'Worker'])
  assert.match(String(at(commands.get('Redis'), 'command')), /^redis-server --port 6390 --bind 127\.0\.0\.1 /)
  for (const name of ['Api', 'Worker']) {
    assert.match(
      String(at(commands.get(name), 'command')),
      /^node packages\/local\/ready\.mjs packages\/\w+\/src\/main\.ts$/,
    )
    assert.is(at(commands.get(name), 'autostart'), true)
  }
  const api = readApiConfig(environmentOf(commands.get('Api')))
  assert.is(api.bucket, one(sstDev, 'aws:s3/bucket:Bucket', 'LedgerBucket').outputs['bucket'])
  assert.is(api.eventsQueueUrl, one(sstDev, 'aws:sqs/queue:Queue', 'Events').outputs['url'])
  assert.is(api.redisUrl, 'redis://127.0.0.1:6390')
  assert.is(readWorkerConfig(environmentOf(commands.get('Worker'))).redisUrl, api.redisUrl)
})

test('`sst dev` refuses a stage that is to be kept, which it would take apart', async () => {
  try {
    await buildCloud({ stage: 'production', dev: true })
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /would take stage "production" apart/)
  }
})

test('production is kept, other stages can be removed', () => {
  const kept = (cloud: typeof dev) => [cloud.app['removal'], cloud.app['protect']]
  assert.equal(kept(production), ['retain', true])
  assert.equal(kept(staging), ['remove', false])
  assert.equal(kept(dev), ['remove', false])
})

test('the home region is the one that is named first', () => {
  assert.is(at(world.app, 'providers', 'aws', 'region'), 'us-east-1')
  assert.is(at(dev.app, 'providers', 'aws', 'region'), 'us-east-1')
})

test('docs/cloud.md and the README show what is built: `npm run diagram` draws it anew', () => {
  assert.is(readFileSync(join(root, 'docs/cloud.md'), 'utf8'), cloudPage({ production, world }))
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  assert.is(readme, readmeWithDrawing(readme, production))
})

test('a deploy prints where the stage is', () => {
  assert.is(world.outputs['url'], 'https://media.example.com')
  assert.match(String(dev.outputs['dashboard']), /#dashboards\/dashboard\/millrace-ada-fleet$/)
  for (const cloud of Object.values(all)) assert.ok(cloud.outputs['bucket'])
})

test('images are built once, for the architecture of the instances, and pushed to every region', () => {
  const image = one(world, 'docker-build:index:Image', 'WorkerImage').inputs
  assert.is(image['target'], 'worker')
  assert.equal(image['platforms'], ['linux/arm64'])
  assert.is(image['push'], true)
  assert.equal(
    texts(image['tags']).map((tag) => tag.split('.')[3]),
    ['us-east-1', 'eu-west-1'],
  )
  assert.is(list(image['registries']).length, 2)
  assert.is(one(world, 'docker-build:index:Image', 'ApiImage').inputs['target'], 'api')
})

test('by geolocation, continents go where they are told and the rest goes home', async () => {
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

test('settings that do not go together are refused, by what is wrong with them', async () => {
  for (const [environment, words] of [
    [{ MILLRACE_REGIONS: 'us-east-1,eu-west-1' }, /Several regions need a domain/],
    [{ MILLRACE_REGIONS: 'us-east-1,us-east-1', MILLRACE_DOMAIN: 'a.example.com' }, /named twice/],
    [
      { MILLRACE_INSTANT_RETRIEVAL_DAYS: '30', MILLRACE_DEEP_ARCHIVE_DAYS: '60' },
      /Deep Archive comes 90 days/,
    ],
    [{ MILLRACE_BUDGET_USD: 'much' }, /MILLRACE_BUDGET_USD/],
    [{ MILLRACE_CONTINENTS: 'EU=eu-west-1' }, /sends EU to eu-west-1/],
    [{ MILLRACE_CONTINENTS: 'EU' }, /sends EU to nowhere/],
    [
      { MILLRACE_REGIONS: 'us-east-1,eu-west-1', MILLRACE_DOMAIN: 'a.example.com', MILLRACE_CDN: 'true' },
      /CloudFront delivers/,
    ],
  ] as const) {
    try {
      await buildCloud({ stage: 'production', environment })
      assert.unreachable(words.source)
    } catch (error) {
      assert.match(String(error), words)
    }
  }
})

test.run()

function environmentOf(command: Json): Record<string, string> {
  const environment = at(command, 'environment')
  return Object.fromEntries(Object.entries(environment ?? {}).map(([name, value]) => [name, String(value)]))
}
