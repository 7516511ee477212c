import { once } from 'node:events'
import { createServer } from 'node:http'
import { ElastiCacheClient } from '@aws-sdk/client-elasticache'
import { IAMClient } from '@aws-sdk/client-iam'
import { CreateQueueCommand, SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { startSqsServer } from '@millrace/local/cloud/sqs-server.ts'
import { elasticacheChecks } from '@millrace/local/doctor/elasticache-checks.ts'
import type { Check } from '@millrace/local/doctor/finding.ts'
import { roleChecks } from '@millrace/local/doctor/role-checks.ts'
import { runChecks } from '@millrace/local/doctor/run-checks.ts'
import { findStage } from '@millrace/local/doctor/stage-target.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

/** ElastiCache and IAM cannot be had here: a server answers as they do (AWS Query protocol, XML). */
const test = suite('doctor: a stage on AWS')

const identity = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  maxAttempts: 1,
}

/** The XML inside of the result element, by action; a function gets the parameters of the request. */
type Answers = ReadonlyMap<string, (parameters: URLSearchParams) => string>

/** Serves what a service of AWS answers. */
async function withAws<T>(
  answers: Answers,
  use: (where: typeof identity & { endpoint: string }) => Promise<T>,
): Promise<T> {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const parameters = new URLSearchParams(body)
    const action = parameters.get('Action') ?? ''
    const answer = answers.get(action)?.(parameters)
    if (answer === undefined) {
      response.writeHead(403, { 'content-type': 'text/xml' })
      response.end(
        `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`,
      )
      return
    }
    response.writeHead(200, { 'content-type': 'text/xml' })
    response.end(`<${action}Response><${action}Result>${answer}</${action}Result></${action}Response>`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  try {
    return await use({ ...identity, endpoint: `http://127.0.0.1:${address.port}` })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function lines(checks: Check[]): Promise<string[]> {
  const found = await runChecks(checks, () => undefined)
  return found.map(({ severity, text }) => `${severity}: ${text}`)
}

test('a stage is found by the name of its queue and by the policy of it', async () => {
  const server = await startSqsServer(identity)
  const sqs = new SQSClient({ ...identity, endpoint: server.endpoint })
  try {
    const missing = await findStage(sqs, 'ada', 'us-east-1').catch(String)
    assert.match(
      String(missing),
      /There is no stage ada in us-east-1: the queue millrace-ada-events does not exist/,
    )
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'millrace-ada-events' }))
    assert.match(String(await findStage(sqs, 'ada', 'us-east-1').catch(String)), /its policy is gone/)
    const policy = {
      Statement: [{ Condition: { ArnEquals: { 'aws:SourceArn': 'arn:aws:s3:::millrace-ada-ledger-x7' } } }],
    }
    await sqs.send(
      new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy: JSON.stringify(policy) } }),
    )
    assert.is((await findStage(sqs, 'ada', 'us-east-1')).bucket, 'millrace-ada-ledger-x7')
  } finally {
    sqs.destroy()
    await server.close()
  }
})

/** What ElastiCache says of a stage's group. */
function elasticache(group: Record<string, string>, policy: string, version = '8.0.1') {
  const fields = Object.entries(group).map(([name, value]) => `<${name}>${value}</${name}>`)
  const replicationGroup = `<Description>millrace-ada-redis</Description>${fields.join('')}<MemberClusters><ClusterId>r-001</ClusterId><ClusterId>r-002</ClusterId></MemberClusters>`
  const cluster = `<EngineVersion>${version}</EngineVersion><CacheParameterGroup><CacheParameterGroupName>p</CacheParameterGroupName></CacheParameterGroup>`
  const parameter = `<ParameterName>maxmemory-policy</ParameterName><ParameterValue>${policy}</ParameterValue>`
  return new Map([
    [
      'DescribeReplicationGroups',
      () => `<ReplicationGroups><ReplicationGroup>${replicationGroup}</ReplicationGroup></ReplicationGroups>`,
    ],
    ['DescribeCacheClusters', () => `<CacheClusters><CacheCluster>${cluster}</CacheCluster></CacheClusters>`],
    [
      'DescribeCacheParameters',
      // The policy is on the second page.
      (parameters: URLSearchParams) =>
        parameters.has('Marker')
          ? `<Parameters><Parameter>${parameter}</Parameter></Parameters>`
          : '<Marker>2</Marker><Parameters/>',
    ],
  ])
}

const inOrder = {
  Status: 'available',
  TransitEncryptionEnabled: 'true',
  AuthTokenEnabled: 'true',
  AtRestEncryptionEnabled: 'true',
  AutomaticFailover: 'enabled',
}

test('a Redis of a stage: in order, in none, denied', async () => {
  const check = (answers: Answers) =>
    withAws(answers, async (where) => {
      const client = new ElastiCacheClient(where)
      try {
        return await lines(elasticacheChecks({ elasticache: client, stage: 'ada' }))
      } finally {
        client.destroy()
      }
    })
  assert.equal(await check(elasticache(inOrder, 'noeviction')), [
    'ok: ElastiCache 8.0.1 is available, encrypted and protected by a token.',
    'ok: Redis deletes nothing when it is full.',
  ])
  const broken = {
    Status: 'modifying',
    TransitEncryptionEnabled: 'false',
    AuthTokenEnabled: 'false',
    AtRestEncryptionEnabled: 'false',
    AutomaticFailover: 'disabled',
  }
  assert.equal(await check(elasticache(broken, 'volatile-lru', '6.2.6')), [
    'warning: ElastiCache is modifying.',
    'error: Connections to Redis are not encrypted (TLS).',
    'error: Redis has no password (auth token).',
    'warning: The data of Redis is not encrypted at rest.',
    'error: Redis does not fail over by itself.',
    'error: Redis 6.2.6 is too old.',
    'error: Redis deletes keys when it is full (maxmemory-policy volatile-lru): jobs and erasures would be lost.',
  ])
  assert.equal(await check(new Map([['DescribeReplicationGroups', () => '<ReplicationGroups/>']])), [
    'error: The stage has no ElastiCache (millrace-ada-redis).',
  ])
  assert.equal(await check(new Map()), [
    'error: The credentials in use may not read this: redis (AccessDenied).',
  ])
})

test('the permissions of the roles of a stage are simulated, one by one', async () => {
  const simulated: string[] = []
  const roles = ['api', 'worker'].map(
    (tier) =>
      `<member><RoleName>millrace-ada-${tier}-x</RoleName><Arn>arn:aws:iam::1:role/${tier}</Arn><Path>/</Path><RoleId>r</RoleId><CreateDate>2026-01-01T00:00:00Z</CreateDate><Description>Instances of the ${tier} tier in us-east-1</Description></member>`,
  )
  const simulate = (parameters: URLSearchParams, denied: string) => {
    const resource = parameters.get('ResourceArns.member.1') ?? ''
    const role = parameters.get('PolicySourceArn')?.split('/')[1]
    const actions = [...parameters].flatMap(([name, value]) =>
      name.startsWith('ActionNames.') ? [value] : [],
    )
    const results = actions.map((action) => {
      const permission = `${role} ${action} ${resource}`
      simulated.push(permission)
      const decision = permission === denied ? 'implicitDeny' : 'allowed'
      return `<member><EvalActionName>${action}</EvalActionName><EvalDecision>${decision}</EvalDecision></member>`
    })
    return `<EvaluationResults>${results.join('')}</EvaluationResults><IsTruncated>false</IsTruncated>`
  }
  const answers = (denied: string): Answers =>
    new Map([
      ['ListRoles', () => `<Roles>${roles.join('')}</Roles><IsTruncated>false</IsTruncated>`],
      ['SimulatePrincipalPolicy', (parameters: URLSearchParams) => simulate(parameters, denied)],
    ])
  const check = (denied: string) =>
    withAws(answers(denied), async (where) => {
      const client = new IAMClient(where)
      try {
        const stage = { iam: client, stage: 'ada', region: 'us-east-1', bucket: 'b' }
        return await lines(roleChecks({ ...stage, queueArn: async () => 'arn:aws:sqs:us-east-1:1:q' }))
      } finally {
        client.destroy()
      }
    })
  assert.equal(await check('none'), [
    'ok: The role of the api tier has all permissions that it needs.',
    'ok: The role of the worker tier has all permissions that it needs.',
  ])
  assert.ok(simulated.includes('api s3:GetBucketVersioning arn:aws:s3:::b'))
  assert.ok(simulated.includes('api s3:PutObject arn:aws:s3:::b/keys/doctor'))
  assert.ok(simulated.includes('worker sqs:ChangeMessageVisibility arn:aws:sqs:us-east-1:1:q'))
  const lost = 'worker s3:PutObject arn:aws:s3:::b/manifests/doctor'
  assert.equal((await check(lost)).slice(1), [
    'error: The role of the worker tier lacks s3:PutObject on arn:aws:s3:::b/manifests/doctor.',
  ])
})

test.run()
