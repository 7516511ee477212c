import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { parseAmzDate } from '@millrace/local-s3/signing/signature-v4.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { startInstanceRole } from '../../support/instance-role.ts'
import { suite } from '../../support/suite.ts'

const test = suite('credentials of an instance role')
const minuteMs = 60_000
/** What is signed ends this long before the credentials, in ms. */
const marginMs = 30_000
const origin = 'http://localhost:3000'
const SignedPart = Type.Object({ parts: Type.Array(Type.Object({ url: Type.String() })) })
const UppyForm = Type.Object({ url: Type.String(), fields: Type.Record(Type.String(), Type.String()) })
const small = { filename: 'a.txt', contentType: 'text/plain', size: 7 }

let role: Awaited<ReturnType<typeof startInstanceRole>>
let cloud: Awaited<ReturnType<typeof startLocalCloud>>
let directory: string
let api: ApiProcess
let client: HttpClient

/** When the credentials with which the instance started end, and those that it finds when it asks again. */
const startedWithMs = Date.now() + 20 * minuteMs
const renewedWithMs = Date.now() + 40 * minuteMs

test.before(async () => {
  const { REDIS_URL: redisUrl = '' } = process.env
  role = await startInstanceRole()
  directory = await mkdtemp(join(tmpdir(), 'millrace-role-'))
  cloud = await startLocalCloud({ directory, redisUrl, origins: [origin], temporaryCredentials: role.find })
  role.issue(startedWithMs)
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...environment } = cloud.environment
  api = await startApiProcess({
    ...environment,
    ...role.environment,
    INSTANCE: 'api',
    LOG_LEVEL: 'info',
    PUBLIC_ORIGIN: origin,
    REDIS_PREFIX: `test-${randomUUID()}`,
    SESSION_KEYS: randomBytes(32).toString('base64'),
    ANONYMOUS_UPLOADS: 'on',
    MAX_EVENT_LOOP_DELAY_MS: '0',
  })
  client = createHttpClient(api.url)
})

test.after(async () => {
  await api.stop()
  await cloud.close()
  role.close()
  await rm(directory, { recursive: true })
})

/** When a signed URL expires, in ms since 1970. */
function endOfUrl(url: string): number {
  const { searchParams } = new URL(url)
  assert.ok(searchParams.get('X-Amz-Security-Token'))
  return parseAmzDate(searchParams.get('X-Amz-Date') ?? '') + Number(searchParams.get('X-Amz-Expires')) * 1000
}

/** When the policy of a form expires, in ms since 1970. */
function endOfForm(fields: Record<string, string>): number {
  assert.ok(fields['X-Amz-Security-Token'])
  const policy: { expiration: string } = JSON.parse(Buffer.from(fields['Policy'] ?? '', 'base64').toString())
  return Date.parse(policy.expiration)
}

test('an instance renews its credentials early, and promises no more than they allow', async () => {
  const earlier = role.asked()
  const startedAtMs = Date.now()
  role.issue(renewedWithMs)
  const ends: number[] = []
  const promised: number[] = []
  for (const transport of ['put', 'form']) {
    const announced = bodyOf(await client.post('/uploads', { ...small, transport }), Announced)
    promised.push(Date.parse(announced.expiresAt ?? ''))
    if (announced.transport.kind === 'put') ends.push(endOfUrl(announced.transport.url))
    if (announced.transport.kind === 'form') ends.push(endOfForm(announced.transport.fields))
  }
  const large = bodyOf(await client.post('/uploads', { ...small, size: 20 * 1024 ** 2 }), Announced)
  const [part] = large.transport.kind === 'multipart' ? large.transport.parts : []
  ends.push(endOfUrl(part?.url ?? ''))
  const more = await client.post(`/uploads/${large.id}/parts`, { partNumbers: [2] })
  ends.push(endOfUrl(bodyOf(more, SignedPart).parts[0]?.url ?? ''))
  const file = new URLSearchParams({ filename: 'a.txt', type: 'text/plain', 'metadata[size]': '7' })
  ends.push(endOfForm(bodyOf(await client.get(`/uppy/s3/params?${file}`), UppyForm).fields))

  const latestMs = renewedWithMs - marginMs
  assert.equal([ends.length, promised.length], [5, 2])
  for (const endMs of [...ends, ...promised]) {
    // A signature's time and its life are whole seconds, and its life is determined a little later than its time. Ids begin
    // some milliseconds after the life was determined.
    const offMs = endMs - latestMs
    assert.ok(offMs <= 1_000 && offMs > -2_000 - (Date.now() - startedAtMs), `${offMs} ms`)
  }
  assert.is(role.asked(), earlier + 1)
})

test('an instance whose metadata fails uses the credentials that it has', async () => {
  const earlier = role.asked()
  role.fail()
  const response = await client.post('/uploads', { ...small, transport: 'put' })
  const { transport } = bodyOf(response, Announced)
  assert.is(response.status, 201)
  const sent = await fetch(transport.kind === 'put' ? transport.url : '', {
    method: 'PUT',
    headers: transport.kind === 'put' ? transport.headers : {},
    body: '7 bytes',
  })
  assert.equal([sent.status, role.asked()], [200, earlier])
})

test.run()
