import type { ServerResponse } from 'node:http'
import { S3Client } from '@aws-sdk/client-s3'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createInspector, inspectSecretBytes } from '@millrace/worker/scanning/inspector.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { inspectSecret, startFakeInspector } from '../support/fake-inspector.ts'

const test = suite('inspector')
const s3 = new S3Client({
  region: 'us-east-1',
  endpoint: 'http://127.0.0.1:1',
  credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
})
const never = new AbortController().signal
const arrival = { etag: 'etag', versionId: 'v1', size: 4 }
const now = new Date().toISOString()
const upload: Upload = {
  id: newUploadId(),
  owner: 's-tester',
  state: 'processing',
  intent: { filename: 'a.txt', contentType: 'text/plain', size: 4, preset: 'default' },
  arrival,
  findings: {},
  variants: [],
  createdAt: now,
  updatedAt: now,
}

test.after(() => s3.destroy())

/** Asks an inspector that responds in a certain way. @returns the decision, or the cause of a failure */
async function ask(
  answer: (response: ServerResponse) => unknown,
  options: { secret?: string; timeoutMs?: number } = {},
) {
  const { secret = inspectSecret, timeoutMs = 20_000 } = options
  const server = await startFakeInspector((_question, response) => answer(response))
  const askInspector = createInspector({
    s3,
    bucket: 'bucket',
    url: server.url,
    secret: inspectSecretBytes(secret),
    timeoutMs,
  })
  try {
    return await askInspector({ upload, arrival, detectedType: undefined, sha256: 'a'.repeat(64) }, never)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'scan_unavailable') throw error
    return error.cause instanceof Error ? error.cause.message : undefined
  } finally {
    server.close()
  }
}

const json = (value: unknown) => (response: ServerResponse) => response.end(JSON.stringify(value))

test('an inspector accepts or rejects, and may send more than is asked for', async () => {
  const accepted = { decision: 'accept', score: 0.1 }
  assert.equal(await ask(json(accepted)), accepted)
  const rejected = { decision: 'reject', reason: 'Not a receipt.' }
  assert.equal(await ask(json(rejected)), rejected)
  assert.equal(await ask(json({ decision: 'reject' })), { decision: 'reject' })
})

test('anything but a decision in time is no decision', async () => {
  const noDecision = 'The answer of the inspector is not a decision.'
  for (const value of [{}, [], 'accept', { decision: 'ACCEPT' }, { decision: 'reject', reason: 7 }, null]) {
    assert.is(await ask(json(value)), noDecision, JSON.stringify(value))
  }
  assert.is(await ask((response) => response.end('{"decision":"acc')), noDecision)
  assert.is(await ask((response) => response.end()), noDecision)
  const failing = (status: number) => (response: ServerResponse) =>
    response.writeHead(status, { location: '/elsewhere' }).end('{"decision":"accept"}')
  for (const status of [302, 400, 404, 429, 500, 503]) {
    assert.is(await ask(failing(status)), `The inspector answered with status ${status}.`)
  }
  const large = { decision: 'accept', padding: 'a'.repeat(65_536) }
  assert.is(await ask(json(large)), 'The answer of the inspector is over 65536 bytes.')
  const timeout = 'The operation was aborted due to timeout'
  assert.is(await ask(() => undefined, { timeoutMs: 300 }), timeout)
  assert.is(await ask((response) => response.write('{"decision":'), { timeoutMs: 300 }), timeout)
  assert.is(await ask((response) => response.destroy()), 'fetch failed')
})

test('an aborted job does not wait for the inspector, and an inspector that does not run is an outage', async () => {
  const asked = Promise.withResolvers<void>()
  const server = await startFakeInspector(() => asked.resolve())
  const askInspector = createInspector({
    s3,
    bucket: 'bucket',
    url: server.url,
    secret: inspectSecretBytes(inspectSecret),
    timeoutMs: 60_000,
  })
  const question = { upload, arrival, detectedType: undefined, sha256: 'a'.repeat(64) }
  const stopping = new AbortController()
  const asking = askInspector(question, stopping.signal).catch((error: unknown) => error)
  await asked.promise
  const reason = new Error('the job was handed back')
  stopping.abort(reason)
  const aborted = await asking
  assert.ok(aborted instanceof AppError)
  assert.equal([aborted.code, aborted.cause], ['scan_unavailable', reason])
  server.close()
  const refused = await askInspector(question, never).catch((error: unknown) => error)
  assert.ok(refused instanceof AppError)
  assert.equal([refused.code, refused.retryable], ['scan_unavailable', true])
})

test('an inspector refuses requests that another secret signed', async () => {
  const secret = `whsec_${Buffer.alloc(32, 8).toString('base64')}`
  assert.is(await ask(json({ decision: 'accept' }), { secret }), 'The inspector answered with status 401.')
})

test("a file's URL for the inspector ends with the credentials that signed it, if these end earlier", async () => {
  const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }
  const expiration = new Date(Date.now() + 50_000)
  const urls: URL[] = []
  for (const given of [credentials, { ...credentials, expiration }]) {
    const server = await startFakeInspector(({ url }, response) => {
      urls.push(new URL(url))
      response.end('{"decision":"accept"}')
    })
    const client = new S3Client({ region: 'us-east-1', credentials: given })
    const { url } = server
    const secret = inspectSecretBytes(inspectSecret)
    const askInspector = createInspector({ s3: client, bucket: 'bucket', url, secret, timeoutMs: 5_000 })
    await askInspector({ upload, arrival, detectedType: undefined, sha256: 'a'.repeat(64) }, never)
    server.close()
    client.destroy()
  }
  const [full = 0, capped = 0] = urls.map(({ searchParams }) => Number(searchParams.get('X-Amz-Expires')))
  assert.is(full, 65)
  // The signer ends its URLs some seconds before the credentials do.
  assert.ok(capped > 0 && capped <= 20, `${capped} s`)
})

test('INSPECT_SECRET has the form of Standard Webhooks', () => {
  assert.equal(inspectSecretBytes(inspectSecret), Buffer.alloc(24, 7))
  for (const wrong of ['', 'whsec_', 'whsec_c2hvcnQ=', `whsec_${'A'.repeat(33)}`, 'A'.repeat(32)]) {
    assert.is(inspectSecretBytes(wrong), undefined, wrong)
  }
})

test.run()
