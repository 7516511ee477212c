// What each part is given: its subnets, groups, roles, queues, keys and principals.
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import type { Cloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { all, deployed, production, staging, twoRegions } from './clouds.ts'
import { at, behind, list, ofType, one, statements, texts } from './find.ts'
import { environmentOf, secretsOf } from './instance-settings.ts'

const templateType = 'aws:ec2/launchTemplate:LaunchTemplate'
const regions = ['', 'EuWest1']
/** Each region of production, as a cloud and the end of its resources' names. */
const places = [[production, ''], ...regions.map((suffix) => [twoRegions, suffix] as const)] as const

const test = suite('wiring')

test('instances of a tier have its role, its security group and its image', () => {
  for (const [cloud, suffix] of places) {
    for (const tier of ['Api', 'Worker']) {
      const template = one(cloud, templateType, `${tier}Template${suffix}`)
      const named = (input: string) => behind(cloud, template, input).map(({ name }) => name)
      assert.equal(named('iamInstanceProfile'), [`${tier}Profile${suffix}`])
      assert.equal(named('networkInterfaces'), [`${tier}Group${suffix}`])
      const group = one(cloud, 'aws:autoscaling/group:Group', `${tier}${suffix}`)
      const templates = Object.values(group.dependencies).flat()
      assert.ok(templates.includes(template.urn), `${tier}${suffix} uses its template`)
    }
  }
})

test('both services get the queues, the stage of their metrics and the version of their secrets', () => {
  for (const cloud of Object.values(deployed)) {
    const urlOf = (queue: string) => one(cloud, 'aws:sqs/queue:Queue', queue).outputs['url']
    for (const [template, tier, readConfig] of [
      ['ApiTemplate', 'api', readApiConfig],
      ['WorkerTemplate', 'worker', readWorkerConfig],
    ] as const) {
      const variables = environmentOf(cloud, template)
      const config = readConfig({ ...variables, ...secretsOf(cloud, tier) })
      assert.is(config.eventsQueueUrl, urlOf('Events'))
      assert.is(config.deadLetterQueueUrl, urlOf('DeadLetters'))
      assert.is(config.metricsStage, cloud.stage)
      // A changed secret changes the template, so a deploy replaces the instances.
      assert.match(variables['SECRETS_VERSION'] ?? '', /^\d+(\.\d+)*$/, `${cloud.stage} ${tier}`)
    }
  }
})

test('session keys have 32 random bytes, as sealing requires', () => {
  for (const cloud of Object.values(deployed)) {
    for (const { name, inputs } of ofType(cloud, 'random:index/randomBytes:RandomBytes')) {
      assert.is(inputs['length'], 32, name)
    }
  }
})

test('security groups let out only what each part needs', () => {
  for (const cloud of Object.values(deployed)) {
    const ways = ofType(cloud, 'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule').map((rule) => {
      const [from] = behind(cloud, rule, 'securityGroupId')
      const [to] = behind(cloud, rule, 'referencedSecurityGroupId')
      assert.is(rule.inputs['fromPort'], rule.inputs['toPort'])
      return `${from?.name} → ${to?.name ?? rule.inputs['cidrIpv4']} ${rule.inputs['fromPort']}`
    })
    assert.equal([...new Set(ways.map((way) => way.replaceAll('EuWest1', '')))].sort(), [
      'ApiGroup → 0.0.0.0/0 443',
      'ApiGroup → RedisGroup 6379',
      'LoadBalancerGroup → ApiGroup 3000',
      'WorkerGroup → 0.0.0.0/0 443',
      'WorkerGroup → 0.0.0.0/0 80',
      'WorkerGroup → RedisGroup 6379',
    ])
  }
})

test('endpoints are in their region, and interface endpoints replace the public names', () => {
  for (const { name, inputs, provider } of [
    ...ofType(production, 'aws:ec2/vpcEndpoint:VpcEndpoint'),
    ...ofType(twoRegions, 'aws:ec2/vpcEndpoint:VpcEndpoint'),
  ]) {
    const region = provider.includes('::ProviderEuWest1::') ? 'eu-west-1' : 'us-east-1'
    assert.ok(String(inputs['serviceName']).startsWith(`com.amazonaws.${region}.`), name)
    const isS3 = String(inputs['serviceName']).endsWith('.s3')
    assert.is(inputs['vpcEndpointType'], isS3 ? 'Gateway' : 'Interface', name)
    if (!isS3) assert.is(inputs['privateDnsEnabled'], true, name)
  }
})

test('the firewall is attached to the load balancer, allows by default, and blocks what its rules find', () => {
  for (const [cloud, suffix] of places) {
    const acl = one(cloud, 'aws:wafv2/webAcl:WebAcl', `Firewall${suffix}`)
    const association = one(
      cloud,
      'aws:wafv2/webAclAssociation:WebAclAssociation',
      `FirewallOfLoadBalancer${suffix}`,
    ).inputs
    const balancer = one(cloud, 'aws:lb/loadBalancer:LoadBalancer', `LoadBalancer${suffix}`)
    assert.equal(
      [association['resourceArn'], association['webAclArn']],
      [balancer.outputs['arn'], acl.outputs['arn']],
    )
    assert.equal([acl.inputs['scope'], acl.inputs['defaultAction']], ['REGIONAL', { allow: {} }])
    for (const rule of list(acl.inputs['rules'])) {
      const action = at(rule, 'statement', 'managedRuleGroupStatement') ? 'overrideAction' : 'action'
      const expected = action === 'action' ? { block: {} } : { none: {} }
      assert.equal(at(rule, action), expected, String(at(rule, 'name')))
    }
  }
})

test("the region's key lets S3, alarms, logs and CloudFront use it, each for what it needs", () => {
  for (const cloud of Object.values(all)) {
    for (const { name, inputs, provider } of ofType(cloud, 'aws:kms/key:Key')) {
      const region = provider.includes('::ProviderEuWest1::') ? 'eu-west-1' : 'us-east-1'
      const allowed = statements(inputs['policy'])
      const actionsOf = (principal: string) =>
        allowed.filter(({ principals }) => principals.includes(principal)).flatMap(({ actions }) => actions)
      // S3 writes events to the encrypted queue.
      assert.equal(actionsOf('s3.amazonaws.com').sort(), ['kms:Decrypt', 'kms:GenerateDataKey'], name)
      for (const publisher of ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com']) {
        assert.equal(actionsOf(publisher).sort(), ['kms:Decrypt', 'kms:GenerateDataKey*'], publisher)
      }
      assert.equal(actionsOf('cloudfront.amazonaws.com'), ['kms:Decrypt'])
      const logs = allowed.find(({ principals }) => principals.includes(`logs.${region}.amazonaws.com`))
      assert.ok(logs?.actions.includes('kms:Encrypt') && logs.actions.includes('kms:Decrypt'), name)
      assert.is(
        at(logs?.conditions, 'ArnLike', 'kms:EncryptionContext:aws:logs:arn'),
        `arn:aws:logs:${region}:123456789012:log-group:*`,
      )
    }
  }
})

test('S3 may read what it copies, and write and encrypt it in the other region only', () => {
  for (const [here = '', there = ''] of [regions, regions.toReversed()]) {
    const bucketOf = (suffix: string) =>
      one(twoRegions, 'aws:s3/bucket:Bucket', `Ledger${suffix}Bucket`).outputs['arn']
    const keyOf = (suffix: string) => one(twoRegions, 'aws:kms/key:Key', `Key${suffix}`).outputs['arn']
    const role = one(twoRegions, 'aws:iam/role:Role', `ReplicationRole${here}`)
    assert.equal(statements(role.inputs['assumeRolePolicy'])[0]?.principals, ['s3.amazonaws.com'])
    const policy = one(twoRegions, 'aws:iam/rolePolicy:RolePolicy', `ReplicationPolicy${here}`)
    const rights = statements(policy.inputs['policy']).flatMap(({ actions, resources }) =>
      actions.flatMap((action) => resources.map((resource) => `${action} ${resource}`)),
    )
    assert.equal(
      rights.sort(),
      [
        `s3:GetReplicationConfiguration ${bucketOf(here)}`,
        `s3:ListBucket ${bucketOf(here)}`,
        ...['GetObjectVersionForReplication', 'GetObjectVersionAcl', 'GetObjectVersionTagging'].map(
          (action) => `s3:${action} ${bucketOf(here)}/*`,
        ),
        ...['ReplicateObject', 'ReplicateDelete', 'ReplicateTags'].map(
          (action) => `s3:${action} ${bucketOf(there)}/*`,
        ),
        `kms:Decrypt ${keyOf(here)}`,
        `kms:Encrypt ${keyOf(there)}`,
        `kms:GenerateDataKey ${keyOf(there)}`,
      ].sort(),
    )
    const { inputs } = one(
      twoRegions,
      'aws:s3/bucketReplicationConfig:BucketReplicationConfig',
      `Replication${here}`,
    )
    for (const rule of list(inputs['rules'])) {
      assert.is(at(rule, 'status'), 'Enabled')
      assert.is(at(rule, 'sourceSelectionCriteria', 'replicaModifications', 'status'), 'Enabled')
    }
  }
})

test('TLS begins only when the certificate is valid, and every region may write the proof of the shared name', () => {
  for (const cloud of [staging, twoRegions]) {
    for (const listener of ofType(cloud, 'aws:lb/listener:Listener')) {
      if (listener.inputs['protocol'] !== 'HTTPS') continue
      assert.ok(
        behind(cloud, listener, 'certificateArn').some(
          ({ type }) => type === 'aws:acm/certificateValidation:CertificateValidation',
        ),
        listener.name,
      )
    }
    for (const validation of ofType(cloud, 'aws:acm/certificateValidation:CertificateValidation')) {
      const [certificate] = behind(cloud, validation, 'certificateArn')
      assert.is(validation.inputs['certificateArn'], certificate?.outputs['arn'])
      assert.is(certificate?.provider, validation.provider)
    }
    for (const { name, inputs } of proofs(cloud)) assert.is(inputs['allowOverwrite'], true, name)
  }
})

test('nothing is created before what AWS requires of it', () => {
  const before = (cloud: Cloud, type: string, name: string) => {
    const resource = one(cloud, type, name)
    const urns = Object.values(resource.dependencies).flat()
    return cloud.resources.filter(({ urn }) => urns.includes(urn)).map(({ name: found }) => found)
  }
  // AWS writes a test object when the access log is switched on.
  for (const [cloud, suffix] of places) {
    const found = before(cloud, 'aws:lb/loadBalancer:LoadBalancer', `LoadBalancer${suffix}`)
    assert.ok(found.includes(`AccessLog${suffix}Policy`), String(found))
  }
  // A target group must belong to a load balancer before it gets instances.
  assert.ok(before(production, 'aws:autoscaling/group:Group', 'Api').includes('Http'))
  // Both buckets must have versions before S3 copies between them.
  for (const suffix of regions) {
    const found = before(
      twoRegions,
      'aws:s3/bucketReplicationConfig:BucketReplicationConfig',
      `Replication${suffix}`,
    )
    for (const name of ['LedgerVersioning', 'LedgerEuWest1Versioning', `ReplicationPolicy${suffix}`]) {
      assert.ok(found.includes(name), `Replication${suffix} after ${name}; it has ${found}`)
    }
  }
})

test('EventBridge may write the log of scaling events, and the budget notifies the topic', () => {
  const [statement] = statements(
    one(production, 'aws:cloudwatch/logResourcePolicy:LogResourcePolicy', 'ScalingEventsPolicy').inputs[
      'policyDocument'
    ],
  )
  assert.ok(statement?.principals.includes('events.amazonaws.com'))
  assert.ok(statement?.actions.includes('logs:PutLogEvents'))
  const budget = one(production, 'aws:budgets/budget:Budget', 'Budget').inputs
  const topic = one(production, 'aws:sns/topic:Topic', 'Alarms').outputs['arn']
  assert.ok(list(budget['notifications']).length > 0)
  for (const notification of list(budget['notifications'])) {
    assert.equal(texts(at(notification, 'subscriberSnsTopicArns')), [topic])
  }
})

test.run()

function proofs(cloud: Cloud) {
  return ofType(cloud, 'aws:route53/record:Record').filter(({ name }) => name.startsWith('CertificateProof'))
}
