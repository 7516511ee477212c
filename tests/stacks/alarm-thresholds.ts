import { workerLimits } from '@millrace/shared/fleet/scaling-policy.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { deployed, production } from './clouds.ts'
import { at, behind, ofType, one, texts } from './find.ts'

const alarmType = 'aws:cloudwatch/metricAlarm:MetricAlarm'

const test = suite('alarms that a person gets')

/** The dimensions by which AWS, or a process of ours, publishes a metric. An alarm on others never has data. */
const target = ['LoadBalancer', 'TargetGroup']
/**
 * By metric: its dimensions, and the values between which a threshold makes sense, in the metric's unit. Below the first, it
 * would be in alarm in normal operation; above the second, never, or too late.
 */
const plausible: Record<string, { dimensions: string[]; from: number; to: number }> = {
  // Responses a minute.
  HTTPCode_Target_5XX_Count: { dimensions: target, from: 5, to: 100 },
  HTTPCode_ELB_5XX_Count: { dimensions: ['LoadBalancer'], from: 5, to: 100 },
  // Instances.
  UnHealthyHostCount: { dimensions: target, from: 1, to: 1 },
  // Seconds. The 95th percentile is below one in normal operation.
  TargetResponseTime: { dimensions: target, from: 1, to: 10 },
  // Messages in the dead-letter queue.
  ApproximateNumberOfMessagesVisible: { dimensions: ['QueueName'], from: 1, to: 1 },
  // Seconds. A boot takes up to 90, so a burst waits longer than that.
  ApproximateAgeOfOldestMessage: { dimensions: ['QueueName'], from: 300, to: 1_800 },
  OldestJobAge: { dimensions: ['Stage'], from: 300, to: 1_800 },
  // Values in a minute.
  Load: { dimensions: ['Stage'], from: 1, to: 6 },
  // Instances: the maximum of the tier.
  GroupInServiceInstances: { dimensions: ['AutoScalingGroupName'], from: 40, to: 40 },
  // Percent. Above 90 there is no time left to act.
  DatabaseMemoryUsagePercentage: { dimensions: ['CacheClusterId'], from: 60, to: 90 },
  EngineCPUUtilization: { dimensions: ['CacheClusterId'], from: 60, to: 90 },
}

const alarms = ofType(production, alarmType).filter((alarm) =>
  behind(production, alarm, 'alarmActions').some(({ type }) => type === 'aws:sns/topic:Topic'),
)
const others = ofType(production, alarmType).filter(
  (alarm) =>
    !behind(production, alarm, 'alarmActions').some(({ type }) => type.startsWith('aws:autoscaling/')),
)

test('each threshold can be reached, is above normal operation, and is on a metric that is published', () => {
  assert.ok(alarms.length > 10)
  for (const { name, inputs } of alarms) {
    const expected = plausible[String(inputs['metricName'])]
    assert.ok(expected, `${name}: add its metric to the table above`)
    if (!expected) continue
    const threshold = Number(inputs['threshold'])
    assert.ok(threshold >= expected.from && threshold <= expected.to, `${name}: ${threshold}`)
    assert.equal(Object.keys(inputs['dimensions'] ?? {}).sort(), expected.dimensions, name)
  }
})

test('a person is told within ten minutes after a threshold is reached, or half an hour at the maximum size', () => {
  for (const { name, inputs } of alarms) {
    const minutes = (Number(inputs['period']) * Number(inputs['evaluationPeriods'])) / 60
    const limit = inputs['metricName'] === 'GroupInServiceInstances' ? 30 : 10
    assert.ok(minutes >= 1 && minutes <= limit, `${name}: ${minutes} minutes`)
  }
})

test('each alarm rings for what its description says: statistic, comparison, threshold, minutes, and without data', () => {
  const { max } = workerLimits
  const rows = alarms.map(({ name, inputs }) => [
    name,
    [
      inputs['statistic'] ?? inputs['extendedStatistic'],
      String(inputs['comparisonOperator']).replace('Threshold', ''),
      inputs['threshold'],
      inputs['period'],
      inputs['evaluationPeriods'],
      inputs['treatMissingData'],
    ],
  ])
  const atLeast = 'GreaterThanOrEqualTo'
  // Each number is in the alarm's description, in docs/deploy.md as well.
  assert.equal(Object.fromEntries(rows), {
    AlarmApiErrors: ['Sum', atLeast, 10, 60, 2, 'notBreaching'],
    AlarmBalancerErrors: ['Sum', atLeast, 10, 60, 2, 'notBreaching'],
    AlarmUnhealthy: ['Maximum', atLeast, 1, 60, 5, 'notBreaching'],
    AlarmSlow: ['p95', atLeast, 5, 60, 10, 'notBreaching'],
    AlarmDeadLetter: ['Maximum', atLeast, 1, 60, 1, 'notBreaching'],
    AlarmEventsWait: ['Maximum', atLeast, 600, 60, 2, 'notBreaching'],
    AlarmJobsWait: ['Maximum', atLeast, 900, 60, 2, 'notBreaching'],
    AlarmLoadUnknown: ['SampleCount', 'LessThan', 1, 60, 5, 'breaching'],
    AlarmWorkersAtLimit: ['Maximum', atLeast, max, 60, 30, 'notBreaching'],
    AlarmRedisMemory1: ['Maximum', atLeast, 80, 60, 5, 'notBreaching'],
    AlarmRedisMemory2: ['Maximum', atLeast, 80, 60, 5, 'notBreaching'],
    AlarmRedisCpu1: ['Average', atLeast, 80, 60, 5, 'notBreaching'],
    AlarmRedisCpu2: ['Average', atLeast, 80, 60, 5, 'notBreaching'],
  })
})

test('every alarm that does not scale notifies the topic, when it begins and when it ends', () => {
  assert.equal(others.length, alarms.length)
  const topic = one(production, 'aws:sns/topic:Topic', 'Alarms').outputs['arn']
  for (const { name, inputs } of alarms) {
    assert.equal(texts(inputs['alarmActions']), [topic], name)
    assert.equal(texts(inputs['okActions']), [topic], name)
  }
})

test('the queue alarms are about the events, and about the dead letters', () => {
  const queueOf = (alarm: string) => at(one(production, alarmType, alarm).inputs, 'dimensions', 'QueueName')
  const nameOf = (queue: string) => one(production, 'aws:sqs/queue:Queue', queue).outputs['name']
  assert.is(queueOf('AlarmDeadLetter'), nameOf('DeadLetters'))
  assert.is(queueOf('AlarmEventsWait'), nameOf('Events'))
})

test("the alarms of Redis are about its nodes, by ElastiCache's names", () => {
  const nodes = new Set(alarms.flatMap(({ inputs }) => texts(at(inputs, 'dimensions', 'CacheClusterId'))))
  // With cluster mode off: the id of the group, and a number of three digits.
  assert.equal([...nodes].sort(), ['Redis-id-001', 'Redis-id-002'])
})

test('each stage tells when its workers are at their maximum', () => {
  for (const cloud of Object.values(deployed)) {
    const alarm = one(cloud, alarmType, 'AlarmWorkersAtLimit').inputs
    const group = one(cloud, 'aws:autoscaling/group:Group', 'Worker')
    assert.is(alarm['threshold'], group.inputs['maxSize'])
    assert.is(at(alarm, 'dimensions', 'AutoScalingGroupName'), group.outputs['name'])
  }
})

test.run()
