import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { newTokenId } from '@millrace/api/credentials/token-id.ts'
import { deriveTokenKeys } from '@millrace/api/credentials/token-keys.ts'
import { createUploadTokens } from '@millrace/api/credentials/upload-tokens.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { TokenView } from '@millrace/api/tenants/token-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { createClient } from '@millrace/client'
import { revocationKey } from '@millrace/shared/ledger/object-keys.ts'
import { planUppyParts } from '@millrace/shared/parts/part-plan.ts'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createBearerClient } from '../../support/bearer-client.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { readUpload, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, tusOffset } from '../../support/tus-client.ts'

const test = suite('upload tokens over HTTP')
const maker = newApiKey('acme', ['tokens'])
const uploader = newApiKey('acme', ['uploads:read', 'uploads:write', 'admin'])
const actor = newApiKey('acme', ['tokens', 'act-as'])
const foreign = newApiKey('other', ['tokens'])
let api: ApiInstances

test.before(async () => {
  const API_KEYS = [maker, uploader, actor, foreign].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS, ANONYMOUS_UPLOADS: 'off' } })
})
test.after(() => api.close())

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
/** More than one request takes. */
const largeBytes = 10 * 1024 ** 2
const UppyUpload = Type.Object({ uploadId: Type.String() })
const UppyPart = Type.Object({ url: Type.String() })
const announcement = { filename: 'a.png', contentType: 'image/png', size: 7 }
const ada = { user: 'ada', expiresIn: 600, scopes: ['uploads:read', 'uploads:write'] }

const requestToken = (body: unknown, key = maker.key) =>
  createHttpClient(api.url).post('/tokens', body, bearer(key))
async function makeToken(fields: object = {}) {
  const response = await requestToken({ ...ada, ...fields })
  assert.is(response.status, 201, JSON.stringify(response.body))
  return bodyOf(response, TokenView)
}
const revoke = (id: string, key = maker.key) =>
  createHttpClient(api.url).request('DELETE', `/tokens/${id}`, bearer(key))
const list = (token: string, base = api.url) => createHttpClient(base).get('/uploads', bearer(token))
const idsOf = (response: HttpResponse) => bodyOf(response, UploadPage).uploads.map(({ id }) => id)
function problemOf(response: HttpResponse) {
  return [response.status, bodyOf(response, Problem).code]
}

test('a token uploads and reads as its user, on all instances, and users are apart from each other', async () => {
  const [first, second, other] = [await makeToken(), await makeToken(), await makeToken({ user: 'bob' })]
  const client = createHttpClient(api.url)
  const announced = await client.post('/uploads', announcement, bearer(first.token))
  assert.is(announced.status, 201)
  assert.equal(announced.headers.getSetCookie(), [])
  const path = announced.headers.get('location') ?? ''
  const id = path.slice('/uploads/'.length)
  for (const base of api.urls) assert.equal(idsOf(await list(second.token, base)), [id])
  assert.equal(idsOf(await list(other.token)), [])
  assert.equal(idsOf(await list(uploader.key)), [])
  for (const token of [other.token, uploader.key]) {
    assert.is((await client.get(path, bearer(token))).status, 404)
    assert.is((await client.request('DELETE', path, bearer(token))).status, 404)
  }
  assert.is((await client.get(path, bearer(second.token))).status, 200)
})

test('the user of a token is recorded as it was given', async () => {
  const user = 'Ada Lovelace / ünï 🛶'
  await makeToken({ user })
  const found = await createTenantUsers(api).find(userOwner('acme', user))
  assert.equal([found?.tenant, found?.user], ['acme', user])
})

test('a token has no scope but its own', async () => {
  const reading = await makeToken({ scopes: ['uploads:read'] })
  const writing = await makeToken({ scopes: ['uploads:write'] })
  const client = createHttpClient(api.url)
  const refused = await client.post('/uploads', announcement, bearer(reading.token))
  assert.equal(problemOf(refused), [403, 'forbidden'])
  assert.equal(problemOf(await list(writing.token)), [403, 'forbidden'])
  assert.equal(problemOf(await requestToken(ada, reading.token)), [403, 'forbidden'])
  assert.equal(problemOf(await client.get('/admin/cluster', bearer(writing.token))), [403, 'forbidden'])
})

test('only a key of the scope tokens makes tokens', async () => {
  assert.equal(problemOf(await requestToken(ada, uploader.key)), [403, 'forbidden'])
  const anonymous = await createHttpClient(api.url).post('/tokens', ada)
  assert.equal(problemOf(anonymous), [401, 'unauthenticated'])
})

test('a key that acts for a user makes and revokes tokens of this user only', async () => {
  const asUser = (user: string) => ({
    headers: { authorization: `Bearer ${actor.key}`, 'millrace-user': user },
  })
  const client = createHttpClient(api.url)
  assert.equal(problemOf(await client.post('/tokens', ada, asUser('bob'))), [403, 'forbidden'])
  const made = await client.post('/tokens', ada, asUser('ada'))
  assert.is(made.status, 201)
  const { id, token } = bodyOf(made, TokenView)
  const revokeAs = (user: string) => client.request('DELETE', `/tokens/${id}`, asUser(user))
  assert.equal(problemOf(await revokeAs('bob')), [404, 'token_not_found'])
  assert.is((await list(token)).status, 200)
  assert.is((await revokeAs('ada')).status, 204)
  assert.equal(problemOf(await list(token)), [401, 'token_revoked'])
})

test('a request for a token that is out of bounds is refused, with the field that is wrong', async () => {
  const wrong: [fields: object, field: string][] = [
    [{ user: '' }, 'user'],
    [{ user: 'u'.repeat(257) }, 'user'],
    [{ user: 'a\0b' }, 'user'],
    [{ user: undefined }, 'user'],
    [{ expiresIn: 0 }, 'expiresIn'],
    [{ expiresIn: 7 * 24 * 60 * 60 + 1 }, 'expiresIn'],
    [{ expiresIn: 1.5 }, 'expiresIn'],
    [{ expiresIn: '600' }, 'expiresIn'],
    [{ expiresIn: undefined }, 'expiresIn'],
    [{ scopes: [] }, 'scopes'],
    [{ scopes: undefined }, 'scopes'],
    [{ scopes: ['admin'] }, 'scopes.0'],
    [{ scopes: ['tokens'] }, 'scopes.0'],
    [{ maxFiles: -1 }, 'maxFiles'],
    [{ maxBytes: -1 }, 'maxBytes'],
    [{ maxFileBytes: 2 ** 53 }, 'maxFileBytes'],
    [{ accept: [] }, 'accept'],
    [{ accept: ['*'] }, 'accept.0'],
    [{ presets: [] }, 'presets'],
    [{ metadata: { 'no spaces': 'x' } }, 'metadata.no spaces'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
    [
      { metadata: Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`n${n}`, 'x'.repeat(200)])) },
      'metadata',
    ],
    [{ tenant: 'other' }, 'tenant'],
  ]
  for (const [fields, field] of wrong) {
    const response = await requestToken({ ...ada, ...fields })
    assert.equal(problemOf(response), [400, 'invalid_request'], JSON.stringify(fields))
    assert.equal(
      bodyOf(response, Problem).errors?.map((error) => error.field),
      [field],
      JSON.stringify(response.body),
    )
  }
  assert.equal(problemOf(await requestToken({ ...ada, presets: ['none'] })), [400, 'preset_unknown'])
  const types = Array.from({ length: 32 }, (_, n) => `application/x-${n}${'t'.repeat(60)}`)
  assert.equal(problemOf(await requestToken({ ...ada, accept: types })), [400, 'invalid_request'])
})

test('a token is revoked in the seconds in which it is still accepted after its end, because clocks differ', async () => {
  const [key] = deriveTokenKeys([Buffer.from(api.environment.SESSION_KEYS, 'base64')])
  const endsAtMs = Math.floor(Date.now() / 1000) * 1000
  const id = newTokenId({ owner: userOwner('acme', 'ada'), endsAtMs }, key?.ids ?? Buffer.alloc(32))
  assert.is((await revoke(id, foreign.key)).status, 404)
  assert.is((await revoke(id)).status, 204)
  const { Contents = [] } = await api.s3.send(
    new ListObjectsV2Command({ Bucket: api.bucket, Prefix: revocationKey(id) }),
  )
  assert.is(Contents.length, 1)
})

test('a token that is not valid, or has ended, is 401 with the class of the reason only', async () => {
  const { token } = await makeToken()
  const [header = '', payload = '', signature = ''] = token.split('.')
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'millrace-upload+jwt' })).toString('base64url')
  const sessionKeys = [Buffer.from(api.environment.SESSION_KEYS, 'base64')]
  const grant = { tenant: 'acme', user: 'ada', scopes: ['uploads:read'] as const, expiresInSeconds: 60 }
  const revokedTokens = { has: async () => false }
  const past = createUploadTokens({ sessionKeys, revokedTokens, now: () => Date.now() - 70_000 })
  const strange = createUploadTokens({ sessionKeys: [Buffer.alloc(32, 9)], revokedTokens })
  const cases: [token: string, code: string][] = [
    [`${header}.${payload}.`, 'token_invalid'],
    [`${none}.${payload}.`, 'token_invalid'],
    [`${none}.${payload}.${signature}`, 'token_invalid'],
    [`${header}.${payload}x.${signature}`, 'token_invalid'],
    [(await strange.make(grant)).token, 'token_invalid'],
    [(await past.make(grant)).token, 'token_expired'],
  ]
  const details: Record<string, string> = {
    token_invalid: 'The token is not valid.',
    token_expired: 'The token has expired.',
  }
  for (const [wrong, code] of cases) {
    const response = await list(wrong)
    assert.equal(problemOf(response), [401, code], wrong)
    assert.is(bodyOf(response, Problem).detail, details[code])
    assert.is(response.headers.get('www-authenticate'), 'Bearer')
  }
})

test('the client, tus and Uppy send files with a token, part by part', async () => {
  const { token } = await makeToken({ maxFiles: 3, maxBytes: 3 * largeBytes })
  const client = createBearerClient(api.url, token)
  const bytes = new Uint8Array(largeBytes)

  const { upload } = createClient({ origin: api.url, apiKey: token })
  const sent = await upload(new File([bytes], 'client.bin'))
  assert.is((await readUpload(client, sent.id)).state, 'received')

  const tusHeaders = { 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' }
  const path = await createTus(client, largeBytes)
  const half = largeBytes / 2
  for (const [n, base] of api.urls.entries()) {
    const headers = { ...tusHeaders, 'upload-offset': String(n * half) }
    assert.is((await client.request('PATCH', path, { body: 'x'.repeat(half), headers, base })).status, 204)
  }
  assert.is(await tusOffset(client, path), largeBytes)
  assert.is((await readUpload(client, path.slice('/tus/'.length))).state, 'received')

  const file = { filename: 'uppy.bin', type: 'image/png', metadata: { size: largeBytes } }
  const { uploadId } = bodyOf(await client.post('/uppy/s3/multipart', file), UppyUpload)
  const uppyPath = `/uppy/s3/multipart/${uploadId}`
  const plan = planUppyParts(largeBytes)
  const parts: { PartNumber: number; ETag: string }[] = []
  for (let n = 1; n <= plan.partCount; n++) {
    const { url } = bodyOf(await client.get(`${uppyPath}/${n}`), UppyPart)
    const part = bytes.subarray((n - 1) * plan.partSize, n * plan.partSize)
    parts.push({ PartNumber: n, ETag: await sendPart(url, part) })
  }
  assert.is((await client.post(`${uppyPath}/complete`, { parts })).status, 200)
  assert.is((await readUpload(client, uploadId)).state, 'received')
  assert.equal(problemOf(await client.post('/uploads', announcement)), [429, 'token_used_up'])
})

test('a revoked token is refused by all instances and its event streams end, and other tokens stay', async () => {
  const [revoked, kept] = [await makeToken(), await makeToken()]
  const client = createHttpClient(api.url)
  const open = (token: string) => (base: string) =>
    openEventStream(new URL('/events', base), client, undefined, token)
  const ending = await Promise.all(api.urls.map(open(revoked.token)))
  const [staying] = await Promise.all(api.urls.slice(0, 1).map(open(kept.token)))
  for (const stream of [...ending, staying]) assert.is((await stream?.next())?.event, 'snapshot')

  assert.is((await revoke(revoked.id)).status, 204)
  for (const stream of ending) assert.is(await stream.next(), undefined)
  for (const base of api.urls)
    assert.equal(problemOf(await list(revoked.token, base)), [401, 'token_revoked'])
  await client.post('/uploads', announcement, bearer(kept.token))
  assert.is((await staying?.next())?.event, 'upload')
  staying?.close()
  assert.is((await revoke(revoked.id)).status, 204)

  const lost = await api.redis.keys(`${api.prefix}:*`)
  await api.redis.del(...lost)
  for (const base of api.urls)
    assert.equal(problemOf(await list(revoked.token, base)), [401, 'token_revoked'])
  assert.is((await list(kept.token)).status, 200)
})

test('tokens of others, and ids that are made up, cannot be revoked, and leave nothing in S3', async () => {
  const { id, token } = await makeToken()
  const revocations = async () =>
    (await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'revocations/' }))).KeyCount
  const before = await revocations()
  assert.equal(problemOf(await revoke(id, foreign.key)), [404, 'token_not_found'])
  assert.equal(problemOf(await revoke(id, uploader.key)), [403, 'forbidden'])
  assert.equal(problemOf(await revoke(id, token)), [403, 'forbidden'])
  for (const unknown of ['x', `${id}0`, `9${id.slice(1)}`, `${id.slice(0, -4)}0000`]) {
    assert.equal(problemOf(await revoke(unknown)), [404, 'token_not_found'], unknown)
  }
  assert.is(await revocations(), before)
  assert.is((await list(token)).status, 200)
})

test.run()
