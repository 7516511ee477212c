import * as assert from 'uvu/assert'
import type { Cloud } from '../support/mock-cloud.ts'
import { suite } from '../support/suite.ts'
import { awsCallsOf, awsCallsOfUserData, programs } from './aws-calls.ts'
import { production, staging, twoRegions } from './clouds.ts'
import { ofType, one, statements } from './find.ts'
import { neededByEncryption, neededByUserData, neededRights, needsOf } from './needed-rights.ts'

const test = suite('calls to AWS and the rights of the roles')

const tiers = ['api', 'worker'] as const
const distributionType = 'aws:cloudfront/distribution:Distribution'

test('needed-rights.ts has every call to AWS in the code of both tiers, and no other', () => {
  const found = Object.fromEntries(awsCallsOf([...programs.api, ...programs.worker]))
  const listed = Object.fromEntries(
    Object.entries(neededRights).map(([file, calls]) => [file, Object.keys(calls).sort()]),
  )
  for (const [file, calls] of Object.entries(found)) {
    assert.equal(listed[file], calls, `the calls of packages/${file} in needed-rights.ts`)
  }
  assert.equal(
    Object.keys(listed).filter((file) => !found[file]),
    [],
    'files in needed-rights.ts that no program imports, or that call nothing',
  )
})

test('needed-rights.ts has every call to AWS in the boot script, and no other', () => {
  assert.equal(Object.keys(neededByUserData).sort(), awsCallsOfUserData())
})

for (const tier of tiers) {
  test(`the ${tier} role allows every call of its programs, and nothing that they do not call`, () => {
    for (const [cloud, suffix] of [
      [production, ''],
      // With CloudFront.
      [staging, ''],
      [twoRegions, 'EuWest1'],
    ] as const) {
      const needed = rightsNeededBy(tier, cloud)
      const granted = rightsGrantedTo(tier, cloud, suffix)
      assert.equal(
        needed.filter((right) => !granted.includes(right)),
        [],
        `rights that the ${tier} role lacks`,
      )
      assert.equal(
        granted.filter((right) => !needed.includes(right)),
        [],
        `rights of the ${tier} role that nothing uses`,
      )
    }
  })
}

test('instances may write only what is for them: the API no variants and manifests, workers no keys and users', () => {
  const writes = (tier: (typeof tiers)[number]) =>
    rightsGrantedTo(tier, production, '').flatMap((right) => /^s3:PutObject (.+)$/.exec(right)?.[1] ?? [])
  for (const prefix of ['variants/', 'manifests/']) assert.not.ok(writes('api').includes(prefix), prefix)
  for (const prefix of ['keys/', 'users/', 'erasures/', 'edits/']) {
    assert.not.ok(writes('worker').includes(prefix), prefix)
  }
})

test.run()

function rightsNeededBy(tier: (typeof tiers)[number], cloud: Cloud): string[] {
  const needed = [
    ...neededByEncryption,
    ...Object.values(neededByUserData).flatMap((needs) => needsOf(needs, tier)),
  ]
  for (const [file, calls] of awsCallsOf(programs[tier])) {
    for (const call of calls) needed.push(...needsOf(neededRights[file]?.[call] ?? [], tier))
  }
  const hasCdn = ofType(cloud, distributionType).length > 0
  return [...new Set(needed)]
    .flatMap((right) => {
      const [, withCdn] = /^with CDN: (.+)$/.exec(right) ?? []
      return withCdn === undefined ? [right] : hasCdn ? [withCdn] : []
    })
    .sort()
}

/** Returns the rights of a role in the words of needed-rights.ts. Another resource stays an ARN, which nothing needs. */
function rightsGrantedTo(tier: (typeof tiers)[number], cloud: Cloud, suffix: string): string[] {
  const name = tier === 'api' ? 'Api' : 'Worker'
  const policy = one(cloud, 'aws:iam/rolePolicy:RolePolicy', `${name}Policy${suffix}`).inputs['policy']
  const arnOf = (type: string, id: string) => String(one(cloud, type, `${id}${suffix}`).outputs['arn'])
  const bucket = String(one(cloud, 'aws:s3/bucket:Bucket', `Ledger${suffix}Bucket`).outputs['arn'])
  const region = suffix === '' ? 'us-east-1' : 'eu-west-1'
  const account = '123456789012'
  const secrets = `arn:aws:ssm:${region}:${account}:parameter/millrace/${cloud.stage}/${tier}`
  const targets = new Map<string, string>([
    ['*', '*'],
    [bucket, 'bucket'],
    [arnOf('aws:sqs/queue:Queue', 'Events'), 'events'],
    [arnOf('aws:sqs/queue:Queue', 'DeadLetters'), 'dead-letters'],
    [arnOf('aws:kms/key:Key', 'Key'), 'key'],
    [arnOf('aws:ecr/repository:Repository', `${name}ImageRepository`), 'repository'],
    [`${arnOf('aws:cloudwatch/logGroup:LogGroup', `${name}Log`)}:*`, 'log'],
    [secrets, 'secrets'],
    ...ofType(cloud, distributionType).map(
      ({ outputs }) => [String(outputs['arn']), 'distribution'] as const,
    ),
    [`${secrets}/*`, 'secrets'],
    [
      `arn:aws:autoscaling:${region}:${account}:autoScalingGroup:*:autoScalingGroupName/millrace-${cloud.stage}-${tier}`,
      'group',
    ],
  ])
  const nameOf = (resource: string) => {
    const [, prefix] = resource.startsWith(`${bucket}/`) ? (/\/([a-z]+\/)\*$/.exec(resource) ?? []) : []
    return targets.get(resource) ?? prefix ?? resource
  }
  const granted = statements(policy).flatMap(({ effect, actions, resources }) => {
    assert.is(effect, 'Allow')
    return actions.flatMap((action) => resources.map((resource) => `${action} ${nameOf(resource)}`))
  })
  return [...new Set(granted)].sort()
}
