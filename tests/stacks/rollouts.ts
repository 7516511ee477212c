import * as assert from 'uvu/assert'
import { readRolloutRequest } from '../../stacks/rollout/rollout-request.ts'
import type { Cloud, Resource } from '../support/mock-cloud.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { deployed, dev, production, sstDev, staging, twoRegions } from './clouds.ts'
import { at, list, ofType, one, type parse, texts } from './find.ts'

const groupType = 'aws:autoscaling/group:Group'
const templateType = 'aws:ec2/launchTemplate:LaunchTemplate'
const alarmType = 'aws:cloudwatch/metricAlarm:MetricAlarm'
const policyType = 'aws:autoscaling/policy:Policy'
const stepType = 'command:local:Command'

const test = suite('rollout steps')

const requestOf = (step: Resource) => readRolloutRequest(String(at(step.inputs, 'environment', 'ROLLOUT')))
/** The step of a group. */
const stepOf = (cloud: Cloud, group: Resource) =>
  one(cloud, stepType, group.name.replace(/^(Api|Worker)/, '$1Rollout'))
const eachGroup = function* () {
  for (const cloud of Object.values(deployed)) {
    for (const group of ofType(cloud, groupType)) yield { cloud, group, step: stepOf(cloud, group) }
  }
}

test('nothing but the step changes the template of an existing group', () => {
  for (const { group } of eachGroup()) {
    assert.is(group.inputs['instanceRefresh'], undefined, `${group.name}: the provider starts no refresh`)
    const template = group.inputs['mixedInstancesPolicy'] ? 'mixedInstancesPolicy' : 'launchTemplate'
    assert.equal(group.ignoreChanges, ['desiredCapacity', template])
    assert.is(group.inputs['launchConfiguration'], undefined)
  }
  for (const cloud of Object.values(deployed)) {
    for (const { inputs } of ofType(cloud, templateType)) {
      assert.is.not(inputs['updateDefaultVersion'], true)
      assert.is(inputs['defaultVersion'], undefined)
    }
  }
})

test('a group begins with the version that its step rolls out, by its number', () => {
  for (const { cloud, group, step } of eachGroup()) {
    const { target } = requestOf(step)
    const template = one(cloud, templateType, group.name.replace(/^(Api|Worker)/, '$1Template'))
    const version = String(template.outputs['latestVersion'])
    assert.match(version, /^[1-9]\d*$/)
    const wanted = { LaunchTemplateId: template.outputs['id'] ?? `${template.name}-id`, Version: version }
    if ('LaunchTemplate' in target) {
      assert.equal(target.LaunchTemplate, wanted)
      assert.equal(group.inputs['launchTemplate'], { id: wanted.LaunchTemplateId, version })
      continue
    }
    const own = group.inputs['mixedInstancesPolicy'] ?? null
    const { LaunchTemplate: policy, InstancesDistribution: distribution } = target.MixedInstancesPolicy
    assert.equal(policy.LaunchTemplateSpecification, wanted)
    // The step replaces the whole policy: what it leaves out would be lost.
    assert.equal(inPascalCase(own), target.MixedInstancesPolicy)
    assert.equal(distribution.SpotAllocationStrategy, 'price-capacity-optimized')
  }
  const counts = (cloud: Cloud) => [ofType(cloud, stepType).length, ofType(cloud, groupType).length]
  assert.equal(counts(production), [2, 2])
  assert.equal(counts(twoRegions), [4, 4])
  assert.equal(ofType(sstDev, stepType), [])
})

test('a step looks each 10 s, waits an hour for another refresh, and gives up after three', () => {
  for (const { group, step } of eachGroup()) {
    const { pollSeconds, waitMinutes, limitMinutes, warmupSeconds, alarms } = requestOf(step)
    const isApi = group.name.startsWith('Api')
    // AWS gives a refresh up that makes no progress for an hour, and its rollback takes as long again.
    assert.equal([pollSeconds, waitMinutes, limitMinutes], [10, 60, 180], group.name)
    assert.equal([warmupSeconds, alarms.length], isApi ? [60, 1] : [10, 0], group.name)
  }
})

test('a step calls Auto Scaling in the region of its group', () => {
  const seen = ofType(twoRegions, stepType).map((step) => [step.name, requestOf(step).region])
  assert.equal(seen.sort(), [
    ['ApiRollout', 'us-east-1'],
    ['ApiRolloutEuWest1', 'eu-west-1'],
    ['WorkerRollout', 'us-east-1'],
    ['WorkerRolloutEuWest1', 'eu-west-1'],
  ])
  for (const { group, step } of eachGroup()) {
    const { group: name, groupArn, region } = requestOf(step)
    assert.equal([name, groupArn], [group.inputs['name'], group.outputs['arn']])
    assert.match(groupArn, `:${region}:`)
  }
})

test('a step begins after its group, the policies that scale it, and all alarms of the region', () => {
  for (const { cloud, group, step } of eachGroup()) {
    const before = new Set(Object.values(step.dependencies).flat())
    const ofRegion = cloud.resources.filter(({ provider }) => provider === group.provider)
    const scaling = ofRegion.filter(
      ({ type, name }) =>
        type === policyType ||
        // The domain is looked at from outside: its alarm says nothing about one group.
        (type === alarmType && !/^(Api|Worker)Alarm|^AlarmDomain/.test(name)) ||
        name === group.name,
    )
    const [tier = ''] = /^(Api|Worker)/.exec(group.name) ?? []
    const needed = scaling.filter(({ type, name }) => type !== policyType || name.startsWith(tier))
    assert.ok(needed.length > 10)
    for (const { urn, name } of needed) assert.ok(before.has(urn), `${step.name} begins after ${name}`)
  }
})

test("an alarm of the API's errors rolls the API back, and exists in its region", () => {
  for (const { cloud, group, step } of eachGroup()) {
    const { alarms } = requestOf(step)
    const expected = group.name.startsWith('Api') ? [`millrace-${cloud.stage}-api-errors`] : []
    assert.equal(alarms, expected)
    const names = ofType(cloud, alarmType)
      .filter(({ provider }) => provider === group.provider)
      .map(({ inputs }) => inputs['name'])
    for (const name of alarms) assert.ok(names.includes(name))
  }
})

test('a step ends some time, later than AWS gives a refresh up, and waits for a new instance as scaling does', () => {
  for (const { group, step } of eachGroup()) {
    const { warmupSeconds, waitMinutes, limitMinutes, pollSeconds } = requestOf(step)
    assert.is(warmupSeconds, group.inputs['defaultInstanceWarmup'])
    assert.ok(waitMinutes >= 60 && limitMinutes >= waitMinutes + 120 && limitMinutes <= 240)
    assert.ok(pollSeconds >= 5 && pollSeconds <= 30)
  }
})

test("a step runs the project's own Node directly, needs no other machine, and does nothing when it is removed", () => {
  for (const { step } of eachGroup()) {
    const { inputs } = step
    assert.equal(texts(inputs['interpreter']), ['node_modules/.bin/node'])
    assert.is(inputs['create'], 'stacks/rollout/main.ts')
    assert.equal([inputs['update'], inputs['delete']], [undefined, undefined])
    assert.is(inputs['dir'], root)
    assert.is(step.protect || step.retainOnDelete, false)
  }
})

test('sizes of groups stay with Pulumi, so that a change of settings applies at once', () => {
  for (const cloud of [dev, staging, production]) {
    for (const { ignoreChanges } of ofType(cloud, groupType)) {
      assert.not.ok(ignoreChanges.some((input) => /Size$|Zone|target/i.test(input)))
    }
  }
})

test.run()

/** Renames the keys of a policy as the API has them. */
function inPascalCase(value: ReturnType<typeof parse>): ReturnType<typeof parse> {
  if (Array.isArray(value)) return list(value).map(inPascalCase)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      `${key.charAt(0).toUpperCase()}${key.slice(1)}`,
      inPascalCase(inner),
    ]),
  )
}
