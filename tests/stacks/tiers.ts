import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { httpLimits } from '@millrace/api/http/http-limits.ts'
import { heartbeatMs } from '@millrace/api/streams/server-sent-events.ts'
import { connectionTimeouts } from '@millrace/shared/connections/connection-timeouts.ts'
import { apiScaling, type ScalingPolicy, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { requestsDeadlineMs } from '@millrace/shared/service/close-deadlines.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import { defaultHeartbeatMs } from '@millrace/worker/instance/drain-instance.ts'
import * as assert from 'uvu/assert'
import type { Cloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { deployed, dev, production, staging, twoRegions } from './clouds.ts'
import { at, behind, list, ofType, one, texts, userDataOf } from './find.ts'
import { environmentOf, secretsOf } from './instance-settings.ts'

const MiB = 1024 ** 2
const groupType = 'aws:autoscaling/group:Group'
const templateType = 'aws:ec2/launchTemplate:LaunchTemplate'
const alarmType = 'aws:cloudwatch/metricAlarm:MetricAlarm'
const policyType = 'aws:autoscaling/policy:Policy'

const test = suite('API and worker tier')

test('the API has 2 to 10 instances in production, and fewer in other stages', () => {
  const sizes = (cloud: Cloud) => {
    const { inputs } = one(cloud, groupType, 'Api')
    return [inputs['minSize'], inputs['desiredCapacity'], inputs['maxSize']]
  }
  assert.equal(sizes(production), [2, 2, 10])
  assert.equal(sizes(staging), [2, 2, 4])
  assert.equal(sizes(dev), [1, 1, 2])
})

test('instances have IMDSv2, an encrypted disk, Graviton, and no public address', () => {
  for (const cloud of Object.values(deployed)) {
    for (const { inputs } of ofType(cloud, templateType)) {
      assert.is(at(inputs, 'metadataOptions', 'httpTokens'), 'required')
      assert.is(at(inputs, 'metadataOptions', 'instanceMetadataTags'), 'enabled')
      assert.is(at(inputs, 'blockDeviceMappings', 0, 'ebs', 'encrypted'), 'true')
      assert.is(at(inputs, 'networkInterfaces', 0, 'associatePublicIpAddress'), 'false')
      assert.is(at(inputs, 'monitoring', 'enabled'), true)
      assert.match(String(inputs['imageId']), /al2023-ami-kernel-default-arm64$/)
    }
  }
  assert.is(one(production, templateType, 'ApiTemplate').inputs['instanceType'], 't4g.small')
})

test('groups publish their metrics, and the load balancer decides whether an API instance is healthy', () => {
  for (const { inputs } of ofType(production, groupType)) {
    assert.ok(texts(inputs['enabledMetrics']).includes('GroupInServiceInstances'))
  }
  const api = one(production, groupType, 'Api')
  assert.is(api.inputs['healthCheckType'], 'ELB')
  assert.equal(
    behind(production, api, 'targetGroupArns').map(({ name }) => name),
    ['Targets'],
  )
})

test('workers have several instance types, are Spot above a base, and are replaced before an interruption', () => {
  const { inputs } = one(production, groupType, 'Worker')
  const distribution = at(inputs, 'mixedInstancesPolicy', 'instancesDistribution')
  assert.is(at(distribution, 'onDemandBaseCapacity'), 1)
  assert.is(at(distribution, 'onDemandPercentageAboveBaseCapacity'), 0)
  assert.is(at(distribution, 'spotAllocationStrategy'), 'price-capacity-optimized')
  assert.ok(list(at(inputs, 'mixedInstancesPolicy', 'launchTemplate', 'overrides')).length > 2)
  assert.is(inputs['capacityRebalance'], true)
})

test('lifecycle hooks wait for the boot script of an instance and for the drain of a worker', () => {
  const hooks = (name: string) => list(one(production, groupType, name).inputs['initialLifecycleHooks'])
  const describe = (name: string) => hooks(name).map((hook) => [at(hook, 'name'), at(hook, 'defaultResult')])
  assert.equal(describe('Api'), [['launch', 'ABANDON']])
  assert.equal(describe('Worker'), [
    ['launch', 'ABANDON'],
    ['terminate', 'CONTINUE'],
  ])
  assert.is(one(production, groupType, 'Worker').inputs['protectFromScaleIn'], false)
  const script = userDataOf(one(production, templateType, 'WorkerTemplate'))
  assert.match(script, /^launch_hook='launch'$/m)
  assert.match(script, /TERMINATION_HOOK=terminate$/m)
  assert.ok(Number(at(hooks('Worker')[1], 'heartbeatTimeout')) * 1000 >= 3 * defaultHeartbeatMs)
  // EC2 ends a Spot instance two minutes after its notice.
  assert.ok(Number(/DRAIN_DEADLINE_MS=(\d+)/.exec(script)?.[1]) < 120_000)
})

test('user data starts the image of its region by digest, and logs to an existing log group', () => {
  for (const [template, tier] of [
    ['ApiTemplateEuWest1', 'api'],
    ['WorkerTemplateEuWest1', 'worker'],
  ] as const) {
    const script = userDataOf(one(twoRegions, templateType, template))
    assert.match(
      script,
      new RegExp(
        `^image='123456789012\\.dkr\\.ecr\\.eu-west-1\\.amazonaws\\.com/millrace-production-${tier}@sha256:`,
        'm',
      ),
    )
    assert.match(script, new RegExp(`^log_group='/millrace/production/${tier}'$`, 'm'))
    assert.match(script, new RegExp(`^tier='${tier}'$`, 'm'))
  }
})

test('both services accept the environment that their instances get', () => {
  for (const cloud of Object.values(deployed)) {
    const api = readApiConfig({ ...environmentOf(cloud, 'ApiTemplate'), ...secretsOf(cloud, 'api') })
    assert.equal(api.trustedProxies, ['10.0.0.0/16'])
    assert.is(api.host, '0.0.0.0')
    assert.is(api.port, 3000)
    assert.is(api.anonymousUploads, false)
    assert.is(api.cdn?.origin, cloud === staging ? 'https://d111111abcdef8.cloudfront.net' : undefined)
    assert.match(api.redisUrl, /^rediss:\/\/:p{64}@master\..*:6379$/)
    assert.match(
      api.publicOrigin,
      cloud === dev || cloud === production ? /^http:\/\/[^A-Z]+$/ : /^https:\/\/[^A-Z]+$/,
    )
    if (cloud === staging) assert.equal(api.allowedHosts, ['us-east-1.staging.example.com'])
    const origins = ['https://app.example.com', 'https://*.example.org']
    assert.equal(api.allowedOrigins, cloud === staging ? origins : [])
    if (api.publicOrigin.startsWith('http:')) assert.equal(api.allowedHosts, [])
    const worker = readWorkerConfig({
      ...environmentOf(cloud, 'WorkerTemplate'),
      ...secretsOf(cloud, 'worker'),
    })
    assert.is(worker.redisUrl, api.redisUrl)
    assert.is(worker.cdnDistributionId, cloud === staging ? 'Cdn-id' : undefined)
    const logLevel = cloud === dev ? 'debug' : 'info'
    assert.equal([api.logLevel, worker.logLevel], [logLevel, logLevel])
    assert.is(worker.bucket, api.bucket)
    assert.is(worker.eventsQueueUrl, api.eventsQueueUrl)
  }
})

test('both services of a stage with a collector export traces to it, with its key from a secret', () => {
  for (const cloud of Object.values(deployed)) {
    for (const [template, tier, readConfig] of [
      ['ApiTemplate', 'api', readApiConfig],
      ['WorkerTemplate', 'worker', readWorkerConfig],
    ] as const) {
      const secrets = secretsOf(cloud, tier)
      const { tracing } = readConfig({ ...environmentOf(cloud, template), ...secrets })
      assert.equal(
        [tracing, 'OTEL_EXPORTER_OTLP_HEADERS' in secrets],
        cloud === staging ? [{ protocol: 'http/protobuf' }, true] : [undefined, false],
      )
    }
  }
})

test('containers and services have limits that fit into the memory of their instances', () => {
  for (const [cloud, apiMiB, workerMiB] of [
    [production, 2_048, 4_096],
    [staging, 1_024, 2_048],
    [dev, 1_024, 2_048],
  ] as const) {
    for (const [template, tier, memoryMiB] of [
      ['ApiTemplate', 'api', apiMiB],
      ['WorkerTemplate', 'worker', workerMiB],
    ] as const) {
      const name = `${cloud.stage} ${tier}`
      const containerMiB = containerMemoryMiB(cloud, template)
      assert.ok(memoryMiB - containerMiB >= 256, `${name}: ${containerMiB} MiB leave nothing for the system`)
      assert.ok(containerMiB >= memoryMiB * 0.7, `${name}: ${containerMiB} MiB are too few`)
      const variables = { ...environmentOf(cloud, template), ...secretsOf(cloud, tier) }
      const [, heapMiB] = /^--max-old-space-size=(\d+)$/.exec(variables['NODE_OPTIONS'] ?? '') ?? []
      assert.ok(
        Number(heapMiB) > 128 && Number(heapMiB) <= containerMiB / 2,
        `${name}: heap of ${heapMiB} MiB`,
      )
      const { maxBufferedBytes } = tier === 'api' ? readApiConfig(variables) : readWorkerConfig(variables)
      assert.ok(maxBufferedBytes >= 64 * MiB && maxBufferedBytes <= (containerMiB * MiB) / 8, name)
      if (tier === 'worker') continue
      const { maxRssBytes, eventStreams } = readApiConfig(variables)
      const neededBytes = Number(heapMiB) * MiB + maxBufferedBytes
      assert.ok(
        maxRssBytes > neededBytes && maxRssBytes < containerMiB * MiB * 0.9,
        `${name}: ${maxRssBytes}`,
      )
      // An open stream takes some 0.1 MiB.
      assert.ok(eventStreams.instance >= 500 && eventStreams.instance <= containerMiB, name)
    }
  }
})

test('every stage has quotas for owners and for addresses', () => {
  for (const cloud of Object.values(deployed)) {
    const variables = { ...environmentOf(cloud, 'ApiTemplate'), ...secretsOf(cloud, 'api') }
    const { quota, addressQuota } = readApiConfig(variables)
    for (const limit of [...Object.values(quota), ...Object.values(addressQuota)])
      assert.ok(Number(limit) > 0)
    assert.ok(Number(addressQuota.bytesPerDay) < Number(quota.bytesPerDay))
    assert.ok(Number(quota.bytesPerDay) < Number(quota.bytesTotal))
    const worker = readWorkerConfig({
      ...environmentOf(cloud, 'WorkerTemplate'),
      ...secretsOf(cloud, 'worker'),
    })
    assert.equal(worker.quota, quota)
  }
})

test('a container has more time to stop than its service needs', () => {
  const stopMs = (template: string) => {
    const script = userDataOf(one(production, templateType, template))
    return Number(/^stop_seconds='(\d+)'$/m.exec(script)?.[1]) * 1000
  }
  assert.ok(stopMs('ApiTemplate') > requestsDeadlineMs)
  const worker = readWorkerConfig({
    ...environmentOf(production, 'WorkerTemplate'),
    ...secretsOf(production, 'worker'),
  })
  assert.ok(stopMs('WorkerTemplate') > worker.drainDeadlineMs)
})

test('a silent upload is ended by the API, then an idle connection by the load balancer, then by the API', () => {
  for (const cloud of Object.values(deployed)) {
    const api = readApiConfig({ ...environmentOf(cloud, 'ApiTemplate'), ...secretsOf(cloud, 'api') })
    const idleMs =
      Number(one(cloud, 'aws:lb/loadBalancer:LoadBalancer', 'LoadBalancer').inputs['idleTimeout']) * 1000
    // A silent upload is noticed up to a quarter of its timeout late.
    assert.ok(idleMs > api.uploadIdleTimeoutMs * 1.25, `${cloud.stage}: ${idleMs} ms`)
    assert.ok(idleMs > heartbeatMs)
    assert.ok(httpLimits(api).keepAliveTimeout > idleMs)
  }
  for (const uploadIdleTimeoutMs of [100, 50_000, 120_000, 600_001]) {
    const { balancerIdleMs, keepAliveMs } = connectionTimeouts(uploadIdleTimeoutMs)
    assert.ok(balancerIdleMs > uploadIdleTimeoutMs * 1.25 && keepAliveMs > balancerIdleMs)
    assert.ok(balancerIdleMs > heartbeatMs && Number.isInteger(balancerIdleMs / 1000))
  }
})

test('no user data contains a secret', () => {
  for (const cloud of Object.values(deployed)) {
    const secrets = ofType(cloud, 'aws:ssm/parameter:Parameter').map(({ inputs }) => String(inputs['value']))
    for (const template of ofType(cloud, templateType)) {
      const script = userDataOf(template)
      for (const secret of secrets) assert.ok(secret.length < 10 || !script.includes(secret), template.name)
    }
  }
})

test('the alarms and steps of the API tier are those of its scaling policy', () => {
  assertScaling('Api', apiScaling, 'AWS/EC2', { AutoScalingGroupName: 'millrace-production-api' })
})

test('the alarms and steps of the worker tier are those of its scaling policy, on a metric of ten seconds', () => {
  assertScaling('Worker', workerScaling, 'Millrace', { Stage: 'production' })
  const tracking = one(production, policyType, 'WorkerTracking').inputs['targetTrackingConfiguration']
  const metrics = list(at(tracking, 'customizedMetricSpecification', 'metrics'))
  assert.is(at(tracking, 'targetValue'), workerScaling.tracking.target)
  assert.is(at(tracking, 'disableScaleIn'), true)
  assert.is(at(metrics[0], 'metricStat', 'period'), 10)
  assert.is(at(metrics[0], 'metricStat', 'metric', 'metricName'), workerScaling.tracking.metric)
  assert.equal(at(metrics[0], 'metricStat', 'metric', 'dimensions'), [{ name: 'Stage', value: 'production' }])
  assert.is(at(metrics[1], 'expression'), 'IF(m1 > 1, 1, m1)')
  assert.equal(
    metrics.map((metric) => at(metric, 'returnData')),
    [false, true],
  )
})

test.run()

/** Asserts that each step of a policy is an alarm with a step policy, and that no other alarm scales. */
function assertScaling(
  id: string,
  policy: ScalingPolicy,
  namespace: string,
  dimensions: Record<string, string>,
) {
  const alarms = ofType(production, alarmType).filter(({ name }) => name.startsWith(`${id}Alarm`))
  const seen = alarms.map((alarm) => {
    const [action] = behind(production, alarm, 'alarmActions')
    assert.is(action?.inputs['adjustmentType'], 'PercentChangeInCapacity')
    assert.is(action?.inputs['minAdjustmentMagnitude'], 1)
    assert.is(action?.inputs['estimatedInstanceWarmup'], policy.warmupMs / 1000)
    assert.is(alarm.inputs['period'], policy.metricPeriodMs / 1000)
    assert.is(alarm.inputs['namespace'], namespace)
    assert.equal(alarm.inputs['dimensions'], dimensions)
    return {
      metric: alarm.inputs['metricName'],
      compares: alarm.inputs['comparisonOperator'],
      threshold: alarm.inputs['threshold'],
      periods: alarm.inputs['evaluationPeriods'],
      steps: list(action?.inputs['stepAdjustments']).map((step) => [
        at(step, 'metricIntervalLowerBound'),
        at(step, 'metricIntervalUpperBound'),
        at(step, 'scalingAdjustment'),
      ]),
    }
  })
  const { scaleOut, scaleIn } = policy
  const out = scaleOut.map(({ metric, atLeast, periods, percent }) => ({
    metric,
    compares: 'GreaterThanOrEqualToThreshold',
    threshold: atLeast,
    periods,
    steps: [['0', undefined, percent]],
  }))
  // Bounds are differences from the threshold: (lower, upper], from the highest step to the lowest.
  const steps = scaleIn.steps.map(({ atMost, percent }, index) => {
    const next = scaleIn.steps[index + 1]
    const difference = (value: number) => String(Number((value - scaleIn.atMost).toFixed(6)))
    return [next && difference(next.atMost), difference(atMost), -percent]
  })
  const into = {
    metric: scaleIn.metric,
    compares: 'LessThanOrEqualToThreshold',
    threshold: scaleIn.atMost,
    periods: scaleIn.periods,
    steps,
  }
  assert.equal(seen, [...out, into])
}

/** Returns the memory limit of a template's container, in MiB. */
function containerMemoryMiB(cloud: Cloud, template: string): number {
  return Number(/^memory_mib='(\d+)'$/m.exec(userDataOf(one(cloud, templateType, template)))?.[1])
}
