import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type S3, S3Client } from '@aws-sdk/client-s3'
import { createS3Server, type S3Server } from '@millrace/local-s3/s3-server.ts'
import { checkBucketVersioning } from '@millrace/shared/connections/check-bucket-versioning.ts'
import * as assert from 'uvu/assert'
import { createClient, localCredentials, localRegion } from '../../local-s3/support/contract-target.ts'
import { processEnvironment } from '../../support/process-environment.ts'
import { suite } from '../../support/suite.ts'

const test = suite('bucket versioning')
const unversioned = 'without-versions'
const versioned = 'with-versions'
let directory: string
let server: S3Server
let s3: S3

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-versioning-'))
  server = await createS3Server({ directory, region: localRegion, credentials: localCredentials })
  s3 = createClient({ endpoint: server.endpoint, region: localRegion, credentials: localCredentials })
  const CreateBucketConfiguration = { LocationConstraint: localRegion } as const
  for (const Bucket of [unversioned, versioned]) await s3.createBucket({ Bucket, CreateBucketConfiguration })
  await s3.putBucketVersioning({ Bucket: versioned, VersioningConfiguration: { Status: 'Enabled' } })
})
test.after(async () => {
  s3.destroy()
  await server.close()
  await rm(directory, { recursive: true })
})

/** Checks a bucket. Returns the refusal, and the events of its warnings. */
async function check(s3: S3Client, bucket: string, timeoutMs?: number) {
  const warnings: unknown[] = []
  const refusal = await checkBucketVersioning({
    s3,
    bucket,
    log: { warn: (fields: object) => void warnings.push('event' in fields && fields.event) },
    ...(timeoutMs !== undefined && { timeoutMs }),
  }).catch((error: unknown) => error)
  return { refusal, warnings }
}

/** Checks the bucket of an S3 that answers with this status and body, or not at all. */
async function checkFake(answer: { status: number; body: string } | undefined) {
  const server = createServer((_request, response) => {
    if (answer) response.writeHead(answer.status, { 'content-type': 'application/xml' }).end(answer.body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  const s3 = new S3Client({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    maxAttempts: 1,
  })
  try {
    return await check(s3, 'any', 200)
  } finally {
    s3.destroy()
    server.closeAllConnections()
    server.close()
  }
}

const accepted = { refusal: undefined, warnings: [] }
const unknown = { refusal: undefined, warnings: ['bucket-versioning-unknown'] }

test('a bucket with versioning is accepted', async () => {
  assert.equal(await check(s3, versioned), accepted)
})

test('a bucket whose versioning was never enabled, or is suspended, is refused in words that say what to do', async () => {
  const suspended = {
    status: 200,
    body: '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>',
  }
  for (const [{ refusal, warnings }, status] of [
    [await check(s3, unversioned), 'never enabled'],
    [await checkFake(suspended), 'Suspended'],
  ] as const) {
    assert.instance(refusal, Error)
    assert.match(String(refusal), `"${status}"`)
    assert.match(String(refusal), 'Enable versioning of the bucket')
    assert.equal(warnings, [])
  }
})

test('an S3 that denies the question, fails or does not answer is accepted with a warning', async () => {
  const denied = { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }
  const failing = { status: 500, body: '<Error><Code>InternalError</Code></Error>' }
  for (const answer of [denied, failing, undefined]) assert.equal(await checkFake(answer), unknown)
})

/** The settings of a service whose S3 has the bucket. Nothing else is used before it is refused. */
const settings = () => ({
  AWS_REGION: localRegion,
  AWS_ACCESS_KEY_ID: localCredentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: localCredentials.secretAccessKey,
  AWS_ENDPOINT_URL_S3: server.endpoint,
  AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
  BUCKET: unversioned,
  EVENTS_QUEUE_URL: 'http://127.0.0.1:1/queue',
  REDIS_URL: process.env['REDIS_URL'],
  PUBLIC_ORIGIN: 'http://localhost:3000',
  SESSION_KEYS: randomBytes(32).toString('base64'),
  LOG_LEVEL: 'info',
  PORT: '0',
})

for (const service of ['api', 'worker']) {
  test(`the ${service} does not start with a bucket without versioning, and says why`, async () => {
    const entry = fileURLToPath(import.meta.resolve(`@millrace/${service}/main.ts`))
    const child = spawn(process.execPath, [entry], {
      env: { ...processEnvironment(), ...settings() },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    assert.is(code, 1)
    assert.match(output, /"event":"start-failed"/)
    assert.match(output, /Enable versioning of the bucket/)
    assert.not.match(output, /"event":"(listening|started)"/)
  })
}

test.run()
