// Times that depend on each other, across files of stacks/, the services and AWS.
import { requestsDeadlineMs } from '@millrace/shared/service/close-deadlines.ts'
import { erasureMarkerLifeMs } from '@millrace/shared/uploads/upload.ts'
import { waitSeconds } from '@millrace/worker/arrivals/message-leases.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import { defaultHeartbeatMs } from '@millrace/worker/instance/drain-instance.ts'
import * as assert from 'uvu/assert'
import type { Json } from '../support/mock-aws.ts'
import { suite } from '../support/suite.ts'
import { production } from './clouds.ts'
import { at, list, ofType, one, parse } from './find.ts'
import { environmentOf, scriptOf, secretsOf } from './instance-settings.ts'

const groupType = 'aws:autoscaling/group:Group'
const queueType = 'aws:sqs/queue:Queue'

const test = suite('times')

const targets = one(production, 'aws:lb/targetGroup:TargetGroup', 'Targets').inputs
const check = (name: string) => Number(at(targets, 'healthCheck', name))
const hooksOf = (group: string) => list(one(production, groupType, group).inputs['initialLifecycleHooks'])
const hookFor = (group: string, transition: string) =>
  hooksOf(group).filter(
    (hook) => at(hook, 'lifecycleTransition') === `autoscaling:EC2_INSTANCE_${transition}`,
  )

test('a health check ends before the next one, and a dead instance gets requests for 10 to 30 s', () => {
  assert.ok(check('timeout') < check('interval'))
  const seconds = check('interval') * check('unhealthyThreshold')
  // Shorter: a pause of garbage collection or one lost packet takes an instance out of service.
  assert.ok(seconds >= 10 && seconds <= 30, `${seconds} s`)
})

test('a group replaces an API instance for its health only after the load balancer could have passed it, twice over', () => {
  const grace = Number(one(production, groupType, 'Api').inputs['healthCheckGracePeriod'])
  assert.ok(grace >= 2 * check('interval') * check('healthyThreshold'), `${grace} s`)
  assert.ok(grace <= 300, `a hung instance is replaced after ${grace} s at the latest`)
})

test('a deregistered instance ends its requests before it terminates', () => {
  const delay = Number(targets['deregistrationDelay'])
  assert.ok(delay >= 60 && delay * 1000 > requestsDeadlineMs, `${delay} s`)
  // A refresh waits this long for each instance.
  assert.ok(delay <= 600)
})

test('groups wait while instances launch, and for workers also while they terminate', () => {
  for (const group of ['Api', 'Worker']) {
    const [launch, ...others] = hookFor(group, 'LAUNCHING')
    assert.equal([at(launch, 'name'), others], ['launch', []], group)
    // docs/scaling.md: a boot takes up to 90 s, and its script alone waits 120 s for /health.
    const timeout = Number(at(launch, 'heartbeatTimeout'))
    assert.ok(timeout >= 300 && timeout <= 3_600, `${group}: ${timeout} s`)
    const capacity = one(production, groupType, group).inputs['waitForCapacityTimeout']
    if (capacity !== undefined) assert.ok(Number(/^(\d+)m$/.exec(String(capacity))?.[1]) * 60 > timeout)
  }
  assert.equal(
    hookFor('Worker', 'TERMINATING').map((hook) => [at(hook, 'name'), at(hook, 'defaultResult')]),
    [['terminate', 'CONTINUE']],
  )
})

test('a draining worker has time for two lost heartbeats, and ends before EC2 takes a Spot instance', () => {
  const [hook] = hookFor('Worker', 'TERMINATING')
  assert.ok(Number(at(hook, 'heartbeatTimeout')) * 1000 >= 3 * defaultHeartbeatMs)
  const { drainDeadlineMs, terminationHook } = readWorkerConfig({
    ...environmentOf(production, 'WorkerTemplate'),
    ...secretsOf(production, 'worker'),
  })
  assert.is(terminationHook, at(hook, 'name'))
  // EC2 gives notice two minutes before. A worker keeps 15 s of them to hand jobs back (drain-instance.ts).
  assert.ok(drainDeadlineMs <= 120_000 - 15_000)
  // A drain that is shorter than most jobs would repeat them.
  assert.ok(drainDeadlineMs >= 60_000)
  // The service closes connections and sends spans after the drain.
  const stopSeconds = Number(/^stop_seconds='(\d+)'$/m.exec(scriptOf(production, 'WorkerTemplate'))?.[1])
  assert.ok(stopSeconds * 1000 >= drainDeadlineMs + 15_000)
})

test('a message is invisible for as long as workers renew it for, and comes back within minutes', () => {
  const visibleSeconds = Number(one(production, queueType, 'Events').inputs['visibilityTimeoutSeconds'])
  const { arrivalLeaseMs } = readWorkerConfig({
    ...environmentOf(production, 'WorkerTemplate'),
    ...secretsOf(production, 'worker'),
  })
  assert.is(visibleSeconds * 1000, arrivalLeaseMs)
  // Renewed after a third (decision 0022). A third must be longer than a long poll and an outage of some seconds.
  assert.ok(visibleSeconds / 3 >= 2 * waitSeconds, `${visibleSeconds} s`)
  // docs/durability.md: held messages of a killed worker come back within a minute.
  assert.ok(visibleSeconds <= 60)
})

test('workers must fail for an hour before an arrival becomes a dead letter, which outlives the message', () => {
  const events = one(production, queueType, 'Events').inputs
  const receives = Number(at(parse(events['redrivePolicy'] ?? '{}'), 'maxReceiveCount'))
  assert.ok(receives * Number(events['visibilityTimeoutSeconds']) >= 3_600)
  const retention = (queue: string) =>
    Number(one(production, queueType, queue).inputs['messageRetentionSeconds'])
  const days14 = 14 * 24 * 60 * 60
  assert.equal([retention('Events'), retention('DeadLetters')], [days14, days14])
  // Otherwise a message that waited in both queues would restore an erased upload.
  assert.ok(erasureMarkerLifeMs / 1000 > retention('Events') + retention('DeadLetters'))
  assert.ok(Number(events['receiveWaitTimeSeconds']) > 0, 'short polls are billed when there is nothing')
})

test('instances count as warm when their scaling policy says so', () => {
  for (const [group, seconds] of [
    ['Api', 60],
    ['Worker', 10],
  ] as const) {
    assert.is(one(production, groupType, group).inputs['defaultInstanceWarmup'], seconds)
    const policies = ofType(production, 'aws:autoscaling/policy:Policy').filter(({ name }) =>
      name.startsWith(group),
    )
    assert.ok(policies.length > 1)
    for (const { name, inputs } of policies) assert.is(inputs['estimatedInstanceWarmup'], seconds, name)
  }
})

test('the times of groups, health checks and queues are those of the design', () => {
  // What is between bounds above may still be another number than docs/deploy.md and docs/scaling.md say.
  const checks = ['interval', 'timeout', 'healthyThreshold', 'unhealthyThreshold'].map(check)
  assert.equal(checks, [5, 4, 2, 3])
  assert.is(Number(targets['deregistrationDelay']), 120)
  assert.is(Number(one(production, groupType, 'Api').inputs['healthCheckGracePeriod']), 60)
  for (const group of ['Api', 'Worker']) {
    const [launch] = hookFor(group, 'LAUNCHING')
    assert.equal([at(launch, 'heartbeatTimeout'), at(launch, 'defaultResult')], [600, 'ABANDON'], group)
    assert.is(one(production, groupType, group).inputs['maxInstanceLifetime'], 30 * 24 * 60 * 60)
  }
  const [terminate] = hookFor('Worker', 'TERMINATING')
  assert.is(at(terminate, 'heartbeatTimeout'), 60)
  const events = one(production, queueType, 'Events').inputs
  const receives = Number(at(parse(events['redrivePolicy'] ?? '{}'), 'maxReceiveCount'))
  assert.equal([events['visibilityTimeoutSeconds'], events['receiveWaitTimeSeconds'], receives], [60, 20, 60])
})

test('instances get patches within a month', () => {
  const day = 24 * 60 * 60
  for (const { name, inputs } of ofType(production, groupType)) {
    const lifetime = Number(inputs['maxInstanceLifetime'])
    // EC2 allows a day at least.
    assert.ok(lifetime >= day && lifetime <= 31 * day, name)
  }
})

test("Redis' daily snapshot and its weekly maintenance do not overlap, because ElastiCache refuses that", () => {
  const { inputs } = one(production, 'aws:elasticache/replicationGroup:ReplicationGroup', 'Redis')
  const minutes = (window: Json) =>
    String(window)
      .replaceAll(/[a-z]+:/g, '')
      .split('-')
      .map((time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3)))
  const [snapshotBegin = 0, snapshotEnd = 0] = minutes(inputs['snapshotWindow'])
  const [begin = 0, end = 0] = minutes(inputs['maintenanceWindow'])
  assert.ok(snapshotEnd - snapshotBegin >= 60 && end - begin >= 60, 'ElastiCache requires an hour for each')
  assert.ok(snapshotEnd <= begin || end <= snapshotBegin)
})

test.run()
