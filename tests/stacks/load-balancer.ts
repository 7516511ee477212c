import * as assert from 'uvu/assert'
import { largeBodies } from '../../stacks/large-bodies.ts'
import { suite } from '../support/suite.ts'
import { dev, irish, production, staging, twoRegions } from './clouds.ts'
import { at, behind, list, ofType, one, statements, texts } from './find.ts'

const balancerType = 'aws:lb/loadBalancer:LoadBalancer'
const listenerType = 'aws:lb/listener:Listener'
const aclType = 'aws:wafv2/webAcl:WebAcl'

const test = suite('load balancer, firewall, domain')

test('the load balancer checks /health and sends requests to the least busy instance', () => {
  const { inputs } = one(dev, 'aws:lb/targetGroup:TargetGroup', 'Targets')
  assert.is(at(inputs, 'healthCheck', 'path'), '/health')
  assert.is(at(inputs, 'healthCheck', 'matcher'), '200')
  assert.is(inputs['loadBalancingAlgorithmType'], 'least_outstanding_requests')
  assert.is(inputs['deregistrationDelay'], 120)
  assert.is(inputs['port'], 3000)
  const seconds =
    Number(at(inputs, 'healthCheck', 'interval')) * Number(at(inputs, 'healthCheck', 'healthyThreshold'))
  assert.ok(seconds <= 10, `${seconds} s until a new instance gets requests`)
  assert.ok(Number(at(inputs, 'healthCheck', 'timeout')) < Number(at(inputs, 'healthCheck', 'interval')))
})

test('only the load balancer can write its access log, and production protects it from deletion', () => {
  const balancer = one(production, balancerType, 'LoadBalancer')
  assert.is(at(balancer.inputs, 'accessLogs', 'enabled'), true)
  assert.is(balancer.inputs['enableDeletionProtection'], true)
  assert.is(balancer.inputs['dropInvalidHeaderFields'], true)
  assert.is(one(dev, balancerType, 'LoadBalancer').inputs['enableDeletionProtection'], false)
  const policy = statements(
    one(production, 'aws:s3/bucketPolicy:BucketPolicy', 'AccessLogPolicy').inputs['policy'],
  )
  const writers = policy.filter(({ effect }) => effect === 'Allow')
  assert.equal(writers[0]?.principals, ['logdelivery.elasticloadbalancing.amazonaws.com'])
  assert.is(writers.length, 1)
})

test('without a domain, the load balancer offers HTTP', () => {
  const listeners = ofType(production, listenerType)
  assert.is(listeners.length, 1)
  assert.is(at(listeners[0]?.inputs, 'defaultActions', 0, 'type'), 'forward')
})

test('with a domain, the load balancer offers TLS 1.2 and later and redirects HTTP to it', () => {
  const https = one(staging, listenerType, 'Https').inputs
  assert.is(https['protocol'], 'HTTPS')
  assert.match(String(https['sslPolicy']), /^ELBSecurityPolicy-TLS13-1-2-Res/)
  assert.is(
    https['certificateArn'],
    one(staging, 'aws:acm/certificate:Certificate', 'Certificate').outputs['arn'],
  )
  const http = one(staging, listenerType, 'Http').inputs
  assert.is(at(http, 'defaultActions', 0, 'redirect', 'protocol'), 'HTTPS')
  assert.is(at(http, 'defaultActions', 0, 'redirect', 'statusCode'), 'HTTP_301')
})

test('DNS records validate the certificate of the domain and of the region', () => {
  const { inputs } = one(staging, 'aws:acm/certificate:Certificate', 'Certificate')
  assert.is(inputs['domainName'], 'staging.example.com')
  assert.equal(inputs['subjectAlternativeNames'], ['us-east-1.staging.example.com'])
  assert.is(inputs['validationMethod'], 'DNS')
  const proofs = ofType(staging, 'aws:route53/record:Record').filter(({ name }) =>
    name.startsWith('CertificateProof'),
  )
  assert.equal(
    proofs.map((proof) => proof.inputs['name']),
    ['_check.staging.example.com', '_check.us-east-1.staging.example.com'],
  )
})

test('the domain points at the load balancer, and Route 53 checks its readiness', () => {
  const record = one(staging, 'aws:route53/record:Record', 'Domain').inputs
  assert.is(record['name'], 'staging.example.com')
  assert.is(at(record, 'aliases', 0, 'evaluateTargetHealth'), true)
  const check = one(staging, 'aws:route53/healthCheck:HealthCheck', 'HealthCheck').inputs
  assert.equal(
    [check['type'], check['resourcePath'], check['fqdn']],
    ['HTTPS', '/ready', 'us-east-1.staging.example.com'],
  )
})

test('with several regions, Route 53 chooses the nearest healthy one', () => {
  const records = ['Domain', 'DomainEuWest1'].map(
    (name) => one(twoRegions, 'aws:route53/record:Record', name).inputs,
  )
  assert.equal(
    records.map((record) => [record['setIdentifier'], at(record, 'latencyRoutingPolicies', 0, 'region')]),
    [
      ['us-east-1', 'us-east-1'],
      ['eu-west-1', 'eu-west-1'],
    ],
  )
  assert.equal(
    records.map((record) => record['healthCheckId']),
    ['HealthCheck-id', 'HealthCheckEuWest1-id'],
  )
})

test("each health check of a domain raises an alarm in us-east-1, the only region with Route 53's metrics", () => {
  const alarmsOf = (cloud: typeof dev) =>
    ofType(cloud, 'aws:cloudwatch/metricAlarm:MetricAlarm').filter(
      ({ inputs }) => inputs['namespace'] === 'AWS/Route53',
    )
  for (const [cloud, checks] of [
    [staging, ['HealthCheck-id']],
    [twoRegions, ['HealthCheck-id', 'HealthCheckEuWest1-id']],
    [irish, ['HealthCheck-id']],
  ] as const) {
    const alarms = alarmsOf(cloud)
    assert.equal(
      alarms.map(({ inputs }) => at(inputs, 'dimensions', 'HealthCheckId')),
      checks,
    )
    for (const alarm of alarms) {
      const { inputs } = alarm
      assert.equal(
        [inputs['metricName'], inputs['statistic'], inputs['comparisonOperator'], inputs['threshold']],
        ['HealthCheckStatus', 'Minimum', 'LessThanThreshold', 1],
      )
      assert.is(inputs['period'], 60)
      assert.is(inputs['evaluationPeriods'], 2)
      assert.is(inputs['treatMissingData'], 'breaching')
      const [topic] = behind(cloud, alarm, 'alarmActions')
      // An alarm can notify only topics of its own region.
      for (const { provider } of [alarm, topic ?? alarm]) {
        const [urn] = ofType(cloud, 'pulumi:providers:aws').filter((each) =>
          provider.startsWith(`${each.urn}::`),
        )
        assert.is(urn?.inputs['region'], 'us-east-1')
      }
      assert.is(topic?.type, 'aws:sns/topic:Topic')
    }
  }
  const mails = ofType(irish, 'aws:sns/topicSubscription:TopicSubscription')
  assert.equal(
    mails.map(({ inputs }) => inputs['endpoint']),
    ['ops@example.com', 'ops@example.com'],
  )
  assert.is(alarmsOf(production).length, 0, 'without a domain there is no health check')
})

test('every load balancer has a firewall with managed rules and a limit per address', () => {
  for (const cloud of [dev, staging, production, twoRegions]) {
    assert.is(
      ofType(cloud, 'aws:wafv2/webAclAssociation:WebAclAssociation').length,
      ofType(cloud, balancerType).length,
    )
  }
  const rules = list(one(production, aclType, 'Firewall').inputs['rules'])
  const managed = rules
    .map((rule) => at(rule, 'statement', 'managedRuleGroupStatement', 'name'))
    .filter(Boolean)
  assert.equal(managed, [
    'AWSManagedRulesCommonRuleSet',
    'AWSManagedRulesKnownBadInputsRuleSet',
    'AWSManagedRulesAmazonIpReputationList',
  ])
  const limit = rules.find((rule) => at(rule, 'statement', 'rateBasedStatement'))
  assert.is(at(limit, 'statement', 'rateBasedStatement', 'limit'), 10_000)
  assert.is(at(limit, 'statement', 'rateBasedStatement', 'aggregateKeyType'), 'IP')
  assert.ok(at(limit, 'action', 'block'))
  assert.equal(new Set(rules.map((rule) => at(rule, 'priority'))).size, rules.length)
})

test('managed rules about bodies only count, and our rule blocks except on paths with large bodies', () => {
  const rules = list(one(production, aclType, 'Firewall').inputs['rules'])
  for (const rule of rules) {
    for (const override of list(at(rule, 'statement', 'managedRuleGroupStatement', 'ruleActionOverrides'))) {
      assert.match(String(at(override, 'name')), /_BODY$|^NoUserAgent_HEADER$|^SizeRestrictions_QUERYSTRING$/)
      assert.ok(at(override, 'actionToUse', 'count'))
    }
  }
  const ours = rules.find((rule) => at(rule, 'name') === 'suspicious-bodies')
  const conditions = at(ours, 'statement', 'andStatement', 'statements')
  const exception = at(conditions, 1, 'notStatement', 'statements', 0, 'regexMatchStatement', 'regexString')
  assert.is(exception, largeBodies)
  assert.ok(largeBodies.length <= 512, 'AWS allows 512 characters')
  assert.match(largeBodies, /^(?:[\w/^$|)?+]|\[\^\/\]|\(\?:)+$/, 'only syntax that WAF supports')
  const labels = list(at(conditions, 0, 'orStatement', 'statements')).map((each) =>
    String(at(each, 'labelMatchStatement', 'key')),
  )
  const counted = rules.flatMap((rule) =>
    list(at(rule, 'statement', 'managedRuleGroupStatement', 'ruleActionOverrides')).map((each) =>
      String(at(each, 'name')),
    ),
  )
  // A label is spelled like the rule that sets it, except for the last word.
  assert.equal(
    labels.map((label) => label.split(':').at(-1)),
    counted.filter((name) => name.endsWith('_BODY')).map((name) => name.replace('_BODY', '_Body')),
  )
  assert.ok(labels.length > 5)
})

test('the firewall logs blocked requests without their credentials', () => {
  const { inputs } = one(
    production,
    'aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration',
    'FirewallLogging',
  )
  const redacted = list(inputs['redactedFields']).map((field) => at(field, 'singleHeader', 'name'))
  assert.equal(redacted, ['authorization', 'cookie'])
  assert.match(texts(inputs['logDestinationConfigs'])[0] ?? '', /:aws-waf-logs-millrace-production-firewall$/)
})

test.run()
