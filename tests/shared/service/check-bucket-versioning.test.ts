import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { checkBucketVersioning } from '@millrace/shared/service/check-bucket-versioning.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { suite } from '../../support/suite.ts'

const test = suite('bucket versioning')
const unversioned = 'without-versions'
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
  await api.s3.send(new CreateBucketCommand({ Bucket: unversioned }))
})
test.after(() => api.close())

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
  assert.equal(await check(api.s3, api.bucket), accepted)
})

test('a bucket whose versioning was never enabled, or is suspended, is refused in words that say what to do', async () => {
  const suspended = {
    status: 200,
    body: '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>',
  }
  for (const [{ refusal, warnings }, status] of [
    [await check(api.s3, unversioned), 'never enabled'],
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

for (const service of ['api', 'worker']) {
  test(`the ${service} does not start with a bucket without versioning, and says why`, async () => {
    const entry = fileURLToPath(import.meta.resolve(`@millrace/${service}/main.ts`))
    const child = spawn(process.execPath, [entry], {
      env: { ...process.env, ...api.environment, BUCKET: unversioned, LOG_LEVEL: 'info', PORT: '0' },
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
