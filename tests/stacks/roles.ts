import { objectNeeds } from '@millrace/local/doctor/permission-checks.ts'
import * as assert from 'uvu/assert'
import type { Cloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { all, deployed, production, staging, twoRegions } from './clouds.ts'
import { ofType, one, type Statement, statements } from './find.ts'

/** Matches actions that AWS's documentation classifies as read or list, by their first word. */
const reading = /^[a-z0-9]+:(Get|List|Describe|BatchGet|Head)/

const test = suite('roles')

test('each tier has its own role, which only EC2 can assume', () => {
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

test('npm run doctor tries exactly what the roles may do with objects', () => {
  const bucketArn = String(one(production, 'aws:s3/bucket:Bucket', 'LedgerBucket').outputs['arn'])
  for (const [tier, policy] of [
    ['api', 'ApiPolicy'],
    ['worker', 'WorkerPolicy'],
  ] as const) {
    const granted = allowedBy(production, policy).flatMap(({ actions, resources }) =>
      resources.flatMap((resource) =>
        resource.startsWith(`${bucketArn}/`) ? actions.map((action) => `${action} ${resource}`) : [],
      ),
    )
    const tried = objectNeeds[tier].flatMap(({ prefix, actions }) =>
      actions.map((action) => `s3:${action} ${bucketArn}/${prefix}*`),
    )
    assert.equal([...new Set(tried)].sort(), [...new Set(granted)].sort())
  }
})

test('no stage has IAM users or access keys', () => {
  for (const cloud of Object.values(all)) {
    const kinds = cloud.resources.map(({ type }) => type)
    assert.not.ok(kinds.some((type) => /iam\/(user|accessKey|userPolicy)/.test(type)))
  }
})

test('no role may write to all resources', () => {
  for (const cloud of Object.values(all)) {
    for (const { name, allowed } of identityPolicies(cloud)) {
      for (const { actions, resources, conditions } of allowed) {
        assert.not.ok(
          actions.some((action) => action === '*' || action.endsWith(':*')),
          `${name}: ${actions}`,
        )
        if (!resources.includes('*')) continue
        const writing = actions.filter((action) => !reading.test(action))
        // The only action without resources. A condition limits it to our namespace.
        const isLimited =
          JSON.stringify(conditions) === '{"StringEquals":{"cloudwatch:namespace":"Millrace"}}'
        assert.equal(writing, isLimited ? ['cloudwatch:PutMetricData'] : [], name)
      }
    }
  }
})

test('each tier may write under the prefixes that it needs, and under no others', () => {
  const puts = (policy: string, cloud = production) =>
    allowedBy(cloud, policy)
      .filter(({ actions }) => actions.includes('s3:PutObject'))
      .flatMap(({ resources }) => resources.map((resource) => resource.split('/').at(-2)))
  assert.equal(puts('ApiPolicy').sort(), [
    'edits',
    'erasing',
    'erasures',
    'keys',
    'originals',
    'outbox',
    'receipts',
    'revocations',
    'unfinished',
    'usage',
    'users',
    'webhooks',
    'withdrawn',
  ])
  assert.equal(puts('WorkerPolicy').sort(), [
    'manifests',
    'originals',
    'outbox',
    'sweep',
    'variants',
    'webhooks',
    'withdrawn',
  ])
  for (const region of ['', 'EuWest1']) {
    assert.equal(puts(`ApiPolicy${region}`, twoRegions).sort(), puts('ApiPolicy').sort())
    assert.equal(puts(`WorkerPolicy${region}`, twoRegions).sort(), puts('WorkerPolicy').sort())
  }
})

test('only workers may invalidate copies of CloudFront, of the distribution of their stage', () => {
  const invalidating = (policy: string, cloud: Cloud) =>
    allowedBy(cloud, policy).filter(({ actions }) => actions.some((action) => /^cloudfront:/.test(action)))
  const [statement, ...others] = invalidating('WorkerPolicy', staging)
  assert.equal(statement?.actions, ['cloudfront:CreateInvalidation'])
  assert.equal(statement?.resources, ['arn:aws:cloudfront::123456789012:distribution/Cdn-id'])
  assert.equal([others, invalidating('ApiPolicy', staging)], [[], []])
  for (const policy of ['ApiPolicy', 'WorkerPolicy']) assert.equal(invalidating(policy, production), [])
})

test('users are erased with all versions by the API only, and workers read no API keys', () => {
  const kept = (policy: string, action: string) =>
    allowedBy(production, policy)
      .filter(({ actions }) => actions.includes(action))
      .flatMap(({ resources }) => resources.map((resource) => resource.split('/').at(-2) ?? ''))
      .filter((prefix) => ['keys', 'users', 'webhooks', 'outbox', 'receipts'].includes(prefix))
      .toSorted()
  assert.equal(kept('ApiPolicy', 's3:DeleteObjectVersion'), ['users'])
  assert.equal(kept('ApiPolicy', 's3:DeleteObject'), ['keys', 'webhooks'])
  assert.equal(kept('WorkerPolicy', 's3:GetObject'), ['outbox', 'users', 'webhooks'])
  assert.equal(kept('WorkerPolicy', 's3:DeleteObject'), ['outbox'])
  assert.equal(kept('WorkerPolicy', 's3:DeleteObjectVersion'), [])
})

test('both tiers may look up an announcement and its multipart upload, and erase it', () => {
  for (const policy of ['ApiPolicy', 'WorkerPolicy']) {
    const prefixes = (action: string) =>
      allowedBy(production, policy)
        .filter(({ actions }) => actions.includes(action))
        .flatMap(({ resources }) => resources.map((resource) => resource.split('/').at(-2)))
    assert.ok(prefixes('s3:GetObject').includes('unfinished'), policy)
    assert.ok(prefixes('s3:ListMultipartUploadParts').includes('originals'), policy)
    assert.ok(prefixes('s3:DeleteObjectVersion').includes('unfinished'), policy)
  }
})

test("both tiers may read the bucket's versioning, which they check at start", () => {
  for (const policy of ['ApiPolicy', 'WorkerPolicy']) {
    const reads = allowedBy(production, policy).filter(({ actions }) =>
      actions.includes('s3:GetBucketVersioning'),
    )
    assert.is(reads.length, 1, policy)
    assert.not.ok(
      reads[0]?.resources.some((resource) => resource.includes('/')),
      policy,
    )
  }
})

test('only workers may receive events; both tiers may take dead letters and send them to the events queue', () => {
  const [events, deadLetters] = ['Events', 'DeadLetters'].map(
    (name) => one(production, 'aws:sqs/queue:Queue', name).outputs['arn'],
  )
  const queuesOf = (policy: string, action: string) =>
    allowedBy(production, policy)
      .filter(({ actions }) => actions.includes(action))
      .flatMap(({ resources }) => resources)
      .toSorted()
  assert.equal(queuesOf('WorkerPolicy', 'sqs:ReceiveMessage'), [deadLetters, events].toSorted())
  for (const action of ['ReceiveMessage', 'DeleteMessage', 'ChangeMessageVisibility']) {
    assert.equal(queuesOf('ApiPolicy', `sqs:${action}`), [deadLetters], action)
  }
  for (const policy of ['ApiPolicy', 'WorkerPolicy']) {
    assert.equal(queuesOf(policy, 'sqs:SendMessage'), [events], policy)
    assert.ok(queuesOf(policy, 'sqs:GetQueueAttributes').includes(String(deadLetters)), policy)
  }
})

test("a tier's role is limited to its own secrets, its region's key and its own group", () => {
  for (const [suffix, region] of [
    ['', 'us-east-1'],
    ['EuWest1', 'eu-west-1'],
  ]) {
    const allowed = allowedBy(twoRegions, `ApiPolicy${suffix}`)
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

test('only workers may protect instances and report them as unhealthy, and only those of their own group', () => {
  for (const [suffix, region] of [
    ['', 'us-east-1'],
    ['EuWest1', 'eu-west-1'],
  ]) {
    for (const action of ['autoscaling:SetInstanceProtection', 'autoscaling:SetInstanceHealth']) {
      const allowing = (policy: string) =>
        allowedBy(twoRegions, policy).filter(({ actions }) => actions.includes(action))
      assert.equal(
        allowing(`WorkerPolicy${suffix}`).map(({ resources }) => resources),
        [
          [
            `arn:aws:autoscaling:${region}:123456789012:autoScalingGroup:*:autoScalingGroupName/millrace-production-worker`,
          ],
        ],
      )
      assert.equal(allowing(`ApiPolicy${suffix}`), [])
    }
  }
})

test('secrets are encrypted parameters under the path that instances read', () => {
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

/** Returns the policies of roles. Policies of queue, bucket and key limit principals, not actions. */
function identityPolicies(cloud: Cloud) {
  return ofType(cloud, 'aws:iam/rolePolicy:RolePolicy').map(({ name }) => ({
    name,
    allowed: allowedBy(cloud, name),
  }))
}
