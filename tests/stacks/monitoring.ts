import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import * as assert from 'uvu/assert'
import type { Json } from '../support/mock-aws.ts'
import { suite } from '../support/suite.ts'
import { deployed, production, staging, twoRegions } from './clouds.ts'
import { at, behind, list, ofType, one, parse, texts } from './find.ts'

const alarmType = 'aws:cloudwatch/metricAlarm:MetricAlarm'

const test = suite('monitoring, budget')

function widgets(cloud: typeof production, name = 'Dashboard'): Json[] {
  const { inputs } = one(cloud, 'aws:cloudwatch/dashboard:Dashboard', name)
  return list(at(parse(inputs['dashboardBody']), 'widgets'))
}

const title = (widget: Json) => at(widget, 'properties', 'title')

test('the dashboard shows instances, requests, CPU, network, latency, health, scaling, queue and Redis, in this order', () => {
  const rows = new Map<number, Json[]>()
  for (const widget of widgets(production)) {
    const y = Number(at(widget, 'y'))
    rows.set(y, [...(rows.get(y) ?? []), title(widget)])
  }
  assert.equal(
    [...rows.values()],
    [
      ['Active instances', 'Requests a minute'],
      ['CPU utilization (%)'],
      ['Network (MB/s)'],
      ['Request latency (ms)'],
      ['Health check status', 'Responses 4xx, 5xx'],
      ['Scale-outs (last 24 h)', 'Scale-ins (last 24 h)', 'Desired instances'],
      ['Queue depth', 'Age of the oldest job (s)', 'Jobs finished a minute', 'Dead letters'],
      ['Queue load, demand, slots', 'Redis: memory, CPU (%)'],
    ],
  )
  for (const y of rows.keys()) {
    const row = widgets(production).filter((widget) => at(widget, 'y') === y)
    assert.is(
      row.reduce<number>((sum, widget) => sum + Number(at(widget, 'width')), 0),
      24,
    )
  }
})

/** What a widget draws: hidden metrics by their id, and expressions over them by their label. */
function drawn(widgetTitle: string) {
  const widget = widgets(production).find((each) => title(each) === widgetTitle)
  const metrics = list(at(widget, 'properties', 'metrics')).map(list)
  const options = (metric: Json[]) => metric.at(-1)
  const expressions = metrics.filter((metric) => at(options(metric), 'expression') !== undefined)
  const hidden = metrics.filter((metric) => at(options(metric), 'visible') === false)
  assert.is(expressions.length + hidden.length, metrics.length, 'only expressions are visible')
  return expressions.map((expression) => {
    const formula = String(at(options(expression), 'expression'))
    const id = /\bm\d+\b/.exec(formula)?.[0]
    const metric = hidden.find((each) => at(options(each), 'id') === id) ?? []
    return {
      label: at(options(expression), 'label'),
      formula: formula.replaceAll(String(id), 'm'),
      metric: metric.slice(0, -1),
      stat: at(options(metric), 'stat'),
    }
  })
}

test('the dashboard shows latency as p50, p95 and p99, in milliseconds', () => {
  const lines = drawn('Request latency (ms)')
  assert.equal(
    lines.map(({ label, stat }) => [label, stat]),
    [
      ['p50', 'p50'],
      ['p95', 'p95'],
      ['p99', 'p99'],
    ],
  )
  for (const { formula, metric } of lines) {
    // The load balancer measures seconds.
    assert.is(formula, 'm * 1000')
    assert.equal(metric.slice(0, 2), ['AWS/ApplicationELB', 'TargetResponseTime'])
  }
})

test('the dashboard shows the network traffic of both tiers and of the load balancer, in MB a second', () => {
  const lines = drawn('Network (MB/s)')
  assert.equal(
    lines.map(({ label, metric }) => [label, metric[0], metric[1], metric.at(-1)]),
    [
      ['API in', 'AWS/EC2', 'NetworkIn', 'millrace-production-api'],
      ['API out', 'AWS/EC2', 'NetworkOut', 'millrace-production-api'],
      ['Workers in', 'AWS/EC2', 'NetworkIn', 'millrace-production-worker'],
      ['Workers out', 'AWS/EC2', 'NetworkOut', 'millrace-production-worker'],
      ['Load balancer', 'AWS/ApplicationELB', 'ProcessedBytes', lines.at(-1)?.metric.at(-1)],
    ],
  )
  for (const { formula, stat } of lines) {
    // EC2 counts the bytes of a period, over all instances of the group.
    assert.equal([formula, stat], ['m / PERIOD(m) / 1000000', 'Sum'])
  }
})

test('the dashboard shows only fleet metrics that are published, under the stage', () => {
  const names: string[] = Object.values(fleetMetrics).map(({ name }) => name)
  const shown = widgets(production)
    .flatMap((widget) => list(at(widget, 'properties', 'metrics')).map(list))
    .filter(([namespace]) => namespace === 'Millrace')
  assert.ok(shown.length >= 5)
  for (const [, name, dimension, stage] of shown) {
    assert.ok(names.includes(String(name)), String(name))
    assert.equal([dimension, stage], ['Stage', 'production'])
  }
})

test('each region has a dashboard with its own metrics', () => {
  for (const [name, region] of [
    ['Dashboard', 'us-east-1'],
    ['DashboardEuWest1', 'eu-west-1'],
  ] as const) {
    for (const widget of widgets(twoRegions, name)) assert.is(at(widget, 'properties', 'region'), region)
  }
})

test('launches and terminations of instances go to the log group that the dashboard counts', () => {
  const rule = one(production, 'aws:cloudwatch/eventRule:EventRule', 'ScalingEvents')
  const pattern = parse(rule.inputs['eventPattern'])
  assert.equal(at(pattern, 'source'), ['aws.autoscaling'])
  assert.equal(at(pattern, 'detail', 'AutoScalingGroupName'), [
    'millrace-production-api',
    'millrace-production-worker',
  ])
  const target = one(production, 'aws:cloudwatch/eventTarget:EventTarget', 'ScalingEventsTarget')
  const log = one(production, 'aws:cloudwatch/logGroup:LogGroup', 'ScalingEventsLog')
  assert.is(target.inputs['arn'], log.outputs['arn'])
  for (const widget of widgets(production).filter((each) => at(each, 'type') === 'log')) {
    assert.match(
      String(at(widget, 'properties', 'query')),
      /^SOURCE '\/aws\/events\/millrace-production-scaling'/,
    )
  }
  const { inputs } = one(production, 'aws:cloudwatch/dashboard:Dashboard', 'Dashboard')
  assert.is(at(parse(inputs['dashboardBody']), 'start'), '-PT24H')
})

test('every alarm notifies the topic or scales, and has a description', () => {
  for (const cloud of Object.values(deployed)) {
    for (const alarm of ofType(cloud, alarmType)) {
      const targets = behind(cloud, alarm, 'alarmActions').map(({ type }) => type)
      assert.ok(
        ['aws:sns/topic:Topic', 'aws:autoscaling/policy:Policy'].includes(String(targets[0])),
        alarm.name,
      )
      assert.ok(String(alarm.inputs['alarmDescription']).length > 10, alarm.name)
    }
  }
})

test('these alarms notify the topic', () => {
  const names = ofType(production, alarmType)
    .filter((alarm) =>
      behind(production, alarm, 'alarmActions').some(({ type }) => type === 'aws:sns/topic:Topic'),
    )
    .map(({ inputs }) => String(inputs['name']).replace('millrace-production-', ''))
  assert.equal(names.sort(), [
    'api-errors',
    'balancer-errors',
    'dead-letter',
    'events-wait',
    'jobs-wait',
    'load-unknown',
    'redis-cpu-1',
    'redis-cpu-2',
    'redis-memory-1',
    'redis-memory-2',
    'slow',
    'unhealthy',
    'workers-at-limit',
  ])
})

test('missing data of the queue load raises an alarm', () => {
  const { inputs } = one(production, alarmType, 'AlarmLoadUnknown')
  assert.equal([inputs['treatMissingData'], inputs['comparisonOperator']], ['breaching', 'LessThanThreshold'])
})

test('the topic has an email subscription if the stage has an address', () => {
  const type = 'aws:sns/topicSubscription:TopicSubscription'
  assert.equal(
    ofType(twoRegions, type).map(({ inputs }) => inputs['endpoint']),
    ['ops@example.com', 'ops@example.com'],
  )
  assert.is(ofType(staging, type).length, 0)
})

test('the budget counts costs of the stage, and notifies at 80 % and when the forecast exceeds it', () => {
  const { inputs } = one(twoRegions, 'aws:budgets/budget:Budget', 'Budget')
  assert.equal([inputs['limitAmount'], inputs['limitUnit'], inputs['timeUnit']], ['900', 'USD', 'MONTHLY'])
  assert.equal(texts(at(inputs, 'costFilters', 0, 'values')), ['user:Stage$production'])
  assert.equal(
    list(inputs['notifications']).map((each) => [at(each, 'notificationType'), at(each, 'threshold')]),
    [
      ['ACTUAL', 80],
      ['FORECASTED', 100],
    ],
  )
})

test.run()
