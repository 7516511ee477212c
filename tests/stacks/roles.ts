import * as assert from 'uvu/assert'
import type { Cloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { all, deployed, production, world } from './clouds.ts'
import { ofType, one, type Statement, statements } from './find.ts'

/** Everything that AWS's documentation calls reading or listing, by how the action begins. */
const reading = /^[a-z0-9]+:(Get|List|Describe|BatchGet|Head)/

const test = suite('roles')

test('each tier has its own role, which only EC2 can take', () => {
  for (const cloud of Object.values(deployed)) {
    for (const name of ['Api', 'Worker']) {
      const role = one(cloud, 'aws:iam/role:Role', `${name}Role`)
      assert.equal(statements(role.inputs['assumeRolePolicy'])[0]?.principals, ['ec2.amazonaws.com'])
      assert.is(
        one(cloud, 'aws:iam/instanceProfile:InstanceProfile', `${name}Profile`).inputs['role'],
        role.outputs['name'],
      )
      assert.is(role.inputs['managedPolicyArns'], undefined)
    }
  }
})

test('there are no users and no keys', () => {
  for (const cloud of Object.values(all)) {
    const kinds = cloud.resources.map(({ type }) => type)
    assert.not.ok(kinds.some((type) => /iam\/(user|accessKey|userPolicy)/.test(type)))
  }
})

test('nothing that writes is allowed on everything', () => {
  for (const cloud of Object.values(all)) {
    for (const { name, allowed } of identityPolicies(cloud)) {
      for (const { actions, resources, conditions } of allowed) {
        assert.not.ok(
          actions.some((action) => action === '*' || action.endsWith(':*')),
          `${name}: ${actions}`,
        )
        if (!resources.includes('*')) continue
        const writing = actions.filter((action) => !reading.test(action))
        // The only one that knows no resource; it is held to our namespace.
        const isHeld = JSON.stringify(conditions) === '{"StringEquals":{"cloudwatch:namespace":"Millrace"}}'
        assert.equal(writing, isHeld ? ['cloudwatch:PutMetricData'] : [], name)
      }
    }
  }
})

test('the API writes what is taken in, and workers what is made of it and what they import', () => {
  const puts = (policy: string, cloud = production) =>
    allowedBy(cloud, policy)
      .filter(({ actions }) => actions.includes('s3:PutObject'))
      .flatMap(({ resources }) => resources.map((resource) => resource.split('/').at(-2)))
  assert.equal(puts('ApiPolicy').sort(), ['originals', 'unfinished'])
  assert.equal(puts('WorkerPolicy').sort(), ['manifests', 'originals', 'variants'])
  // Where there are other regions, the API tells them of erasures.
  for (const region of ['', 'EuWest1']) {
    assert.equal(puts(`ApiPolicy${region}`, world).sort(), ['erased', 'originals', 'unfinished'])
    assert.equal(puts(`WorkerPolicy${region}`, world).sort(), puts('WorkerPolicy').sort())
  }
})

test('only workers take messages, and nobody sends any', () => {
  const actions = (policy: string) => allowedBy(production, policy).flatMap(({ actions }) => actions)
  assert.not.ok(actions('ApiPolicy').some((action) => /^sqs:(Receive|Delete|Send)/.test(action)))
  assert.ok(actions('WorkerPolicy').includes('sqs:ReceiveMessage'))
  assert.not.ok(actions('WorkerPolicy').includes('sqs:SendMessage'))
})

test("a tier reads its own secrets, with its region's key, and ends its own group's instances", () => {
  for (const [suffix, region] of [
    ['', 'us-east-1'],
    ['EuWest1', 'eu-west-1'],
  ]) {
    const allowed = allowedBy(world, `ApiPolicy${suffix}`)
    const resourcesOf = (action: string) =>
      allowed.filter(({ actions }) => actions.includes(action)).flatMap(({ resources }) => resources)
    assert.equal(resourcesOf('ssm:GetParametersByPath'), [
      `arn:aws:ssm:${region}:123456789012:parameter/millrace/production/api`,
      `arn:aws:ssm:${region}:123456789012:parameter/millrace/production/api/*`,
    ])
    assert.equal(resourcesOf('kms:Decrypt'), [`arn:aws:kms:${region}:123456789012:key/Key${suffix}-id`])
    assert.equal(resourcesOf('autoscaling:CompleteLifecycleAction'), [
      `arn:aws:autoscaling:${region}:123456789012:autoScalingGroup:*:autoScalingGroupName/millrace-production-api`,
    ])
    assert.equal(resourcesOf('ecr:BatchGetImage'), [
      `arn:aws:ecr:${region}:123456789012:repository/millrace-production-api`,
    ])
  }
})

test('only workers hold instances, and only those of their own group', () => {
  for (const [suffix, region] of [
    ['', 'us-east-1'],
    ['EuWest1', 'eu-west-1'],
  ]) {
    const holding = (policy: string) =>
      allowedBy(world, policy).filter(({ actions }) => actions.includes('autoscaling:SetInstanceProtection'))
    assert.equal(
      holding(`WorkerPolicy${suffix}`).map(({ resources }) => resources),
      [
        [
          `arn:aws:autoscaling:${region}:123456789012:autoScalingGroup:*:autoScalingGroupName/millrace-production-worker`,
        ],
      ],
    )
    assert.equal(holding(`ApiPolicy${suffix}`), [])
  }
})

test('secrets are encrypted parameters below the path that instances read', () => {
  for (const cloud of Object.values(deployed)) {
    const parameters = ofType(cloud, 'aws:ssm/parameter:Parameter')
    assert.ok(parameters.length >= 4)
    for (const { inputs } of parameters) {
      assert.is(inputs['type'], 'SecureString')
      assert.match(String(inputs['name']), new RegExp(`^/millrace/${cloud.stage}/(api|worker)/[A-Z_]+$`))
    }
  }
})

test.run()

function allowedBy(cloud: Cloud, policy: string): Statement[] {
  return statements(one(cloud, 'aws:iam/rolePolicy:RolePolicy', policy).inputs['policy']).filter(
    ({ effect }) => effect === 'Allow',
  )
}

/** Policies of roles. Those of resources are about who, not what: the queue's, the bucket's, the key's own. */
function identityPolicies(cloud: Cloud) {
  return ofType(cloud, 'aws:iam/rolePolicy:RolePolicy').map(({ name }) => ({
    name,
    allowed: allowedBy(cloud, name),
  }))
}
