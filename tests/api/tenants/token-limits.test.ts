import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { TokenView } from '@millrace/api/tenants/token-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { parseStored } from '@millrace/shared/connections/stored-json.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { Upload } from '@millrace/shared/uploads/upload.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { waysToAnnounce } from '../../support/announce-in-each-way.ts'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createBearerClient } from '../../support/bearer-client.ts'
import { bodyOf, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, putOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('limits of upload tokens')
const maker = newApiKey('acme', ['tokens'])
const preset = { name: 'avatar', variants: [] }
const validUpload = Compile(Upload)
let api: ApiInstances
let nextUser = 1

test.before(async () => {
  api = await startApiInstances({
    environment: {
      API_KEYS: maker.entry,
      PRESETS: JSON.stringify([preset]),
      ANONYMOUS_UPLOADS: 'off',
      QUOTA_FILES_TOTAL: '6',
    },
  })
})
test.after(() => api.close())

/** Makes a token of a new user. */
async function clientWith(fields: object, user = `user-${nextUser++}`) {
  const response = await createBearerClient(api.url, maker.key).post('/tokens', {
    ...{ user, expiresIn: 600, scopes: ['uploads:read', 'uploads:write'] },
    ...fields,
  })
  const { token, id } = bodyOf(response, TokenView)
  return { client: createBearerClient(api.url, token), user, id, token }
}

/** Status, code, limit, what is left, and the name of the token's limit in the text. */
function problemOf(response: HttpResponse) {
  const { code, limit, remaining, detail } = bodyOf(response, Problem)
  const [, name] = /\b(maxFileBytes|maxFiles|maxBytes|accept|presets) of the upload token/.exec(detail) ?? []
  return [response.status, code, name, limit, remaining]
}

const isAccepted = ({ status }: HttpResponse) => status === 200 || status === 201
const listed = async (client: HttpClient) => bodyOf(await client.get('/uploads'), UploadPage).uploads
/** What Redis has of a user's uploads. A file whose size is known late leaves more, of the record that it had. */
async function keysOf(user: string): Promise<string[]> {
  const keys = await api.redis.keys(`${api.prefix}:{${userOwner('acme', user)}}:*`)
  return keys.filter((key) => /:(upload:.*|uploads|unfinished|used|open|quota:held)$/.test(key))
}

for (const { name, size, send } of waysToAnnounce) {
  test(`${name} obeys every limit of its token, and what is refused leaves nothing in Redis`, async () => {
    const maxFileBytes = size - 1
    const refusals: [fields: object, file: Parameters<typeof send>[1], problem: unknown[]][] = [
      [{ maxFileBytes }, {}, [413, 'upload_too_large', 'maxFileBytes', maxFileBytes, undefined]],
      [
        { accept: ['image/*', 'text/csv'] },
        { contentType: 'video/mp4' },
        [403, 'token_limit', 'accept', undefined, undefined],
      ],
      [{ presets: ['avatar'] }, {}, [403, 'token_limit', 'presets', undefined, undefined]],
      [{ presets: ['default'] }, { preset: 'avatar' }, [403, 'token_limit', 'presets', undefined, undefined]],
    ]
    for (const [fields, file, problem] of refusals) {
      const { client, user } = await clientWith(fields)
      assert.equal(problemOf(await send(client, file)), problem, JSON.stringify(fields))
      assert.equal(await keysOf(user), [])
    }
    const { client } = await clientWith({
      ...{ maxFileBytes: size, accept: ['image/*'], presets: ['avatar'], maxFiles: 1, maxBytes: size },
    })
    const sent = await send(client, { preset: 'avatar' })
    assert.ok(isAccepted(sent), JSON.stringify(sent.body))
  })

  test(`${name} counts for its token, also with another instance of the same user's tokens`, async () => {
    const files = await clientWith({ maxFiles: 2 })
    for (let n = 0; n < 2; n++) assert.ok(isAccepted(await send(files.client, {})))
    assert.equal(problemOf(await send(files.client, {})), [429, 'token_used_up', 'maxFiles', 2, 0])
    const other = await clientWith({ maxFiles: 1 }, files.user)
    assert.ok(isAccepted(await send(other.client, {})))
    const none = await clientWith({ maxFiles: 0 }, files.user)
    assert.equal(problemOf(await send(none.client, {})), [429, 'token_used_up', 'maxFiles', 0, 0])
    assert.is((await listed(none.client)).length, 3)

    const maxBytes = size + 1
    const bytes = await clientWith({ maxBytes })
    assert.ok(isAccepted(await send(bytes.client, {})))
    assert.equal(problemOf(await send(bytes.client, {})), [429, 'token_used_up', 'maxBytes', maxBytes, 1])
    assert.is((await listed(bytes.client)).length, 1)
  })

  test(`${name} gets the metadata of its token, which its bearer cannot change`, async () => {
    const { client, user } = await clientWith({ metadata: { album: 'summer', role: 'reader' } })
    const sent = await send(client, { metadata: { role: 'admin', title: 'Harbour' } })
    assert.ok(isAccepted(sent), JSON.stringify(sent.body))
    const [upload] = await listed(client)
    assert.equal(upload?.metadata, { album: 'summer', role: 'reader', title: 'Harbour' })
    const record = await api.redis.hget(
      `${api.prefix}:{${userOwner('acme', user)}}:upload:${upload?.id}`,
      'record',
    )
    const { intent } = parseStored(validUpload, record ?? '', 'record')
    assert.equal(intent.stamped, ['album', 'role'])
  })
}

test('S3 refuses a form and a PUT whose stamped metadata, type or size were changed', async () => {
  const { client } = await clientWith({ metadata: { role: 'reader' }, accept: ['image/*'], maxFileBytes: 7 })
  const bytes = new Uint8Array(7)
  const form = formOf(await announce(client, 7))
  const notes = encodeURIComponent(JSON.stringify({ role: 'admin' }))
  assert.is((await sendForm(form, bytes, { 'x-amz-meta-notes': notes })).status, 403)
  assert.is((await sendForm(form, bytes, { 'x-amz-meta-accept': '*/*' })).status, 403)
  assert.is((await sendForm(form, new Uint8Array(8))).status, 400)
  assert.is((await sendForm(form, bytes)).status, 201)
  const { url, headers } = putOf(await announce(client, 7, { transport: 'put' }))
  const put = (changes: Record<string, string>, body = bytes) =>
    fetch(url, { method: 'PUT', headers: { ...headers, ...changes }, body })
  assert.is((await put({ 'x-amz-meta-stamped': '' })).status, 403)
  assert.is((await put({}, new Uint8Array(8))).status, 403)
  assert.is((await put({})).status, 200)
})

test('what a token says of a file is stored with its original', async () => {
  const { client, user } = await clientWith({ metadata: { role: 'reader' }, accept: ['image/*', 'text/csv'] })
  const upload = await announce(client, 7)
  await sendForm(formOf(upload), new Uint8Array(7))
  const address = { owner: userOwner('acme', user), id: upload.id }
  const original = await createTestLifecycle(api).originals.find(address)
  assert.equal(original?.intent.accept, ['image/*', 'text/csv'])
  assert.equal(original?.intent.stamped, ['role'])
  assert.equal(original?.intent.metadata, { role: 'reader' })
})

test('a body of unknown length ends as soon as it is larger than the limit of its token', async () => {
  const send = async (token: string, chunks: number) => {
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        if (sent++ === chunks) controller.close()
        else controller.enqueue(new Uint8Array(1_000))
      },
    })
    const response = await fetch(new URL('/upload?filename=a.png', api.url), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'image/png' },
      body,
      duplex: 'half',
    })
    return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
  }
  const endless = Number.POSITIVE_INFINITY
  const file = await clientWith({ maxFileBytes: 5_000 })
  const tooLarge = [413, 'upload_too_large', 'maxFileBytes', 5_000, undefined]
  assert.equal(problemOf(await send(file.token, endless)), tooLarge)
  assert.is((await send(file.token, 5)).status, 201)
  const all = await clientWith({ maxBytes: 5_000 })
  assert.equal(problemOf(await send(all.token, endless)), [
    429,
    'token_used_up',
    'maxBytes',
    5_000,
    undefined,
  ])
  assert.is((await send(all.token, 3)).status, 201)
  assert.equal(problemOf(await send(all.token, 3)), [429, 'token_used_up', 'maxBytes', 5_000, 2_000])
  assert.is((await send(all.token, 2)).status, 201)
  assert.equal(problemOf(await send(all.token, 1)), [429, 'token_used_up', 'maxBytes', 5_000, 0])
})

test('an import with a token whose bytes are counted must declare its size', async () => {
  const sourceUrl = 'https://files.example/a.png'
  const counted = await clientWith({ maxBytes: 100 })
  const refused = await counted.client.post('/uploads', { sourceUrl })
  assert.equal(problemOf(refused).slice(0, 3), [403, 'token_limit', 'maxBytes'])
  const limited = await clientWith({ maxFileBytes: 100, accept: ['image/*'] })
  assert.is((await limited.client.post('/uploads', { sourceUrl })).status, 201)
})

test('a type that is not declared, or declared by another name, is decided by the bytes', async () => {
  const { client } = await clientWith({ accept: ['audio/mpeg', 'image/x-icon'] })
  for (const contentType of [
    'application/octet-stream',
    'audio/mp3',
    'Audio/MPEG; charset=x',
    'image/vnd.microsoft.icon',
  ]) {
    await announce(client, 7, { contentType })
  }
  const refused = await client.post('/uploads', { filename: 'a', size: 7, contentType: 'audio/wav' })
  assert.equal(problemOf(refused).slice(0, 3), [403, 'token_limit', 'accept'])
})

test('an upload can be processed again with the presets of the token only', async () => {
  const { client } = await clientWith({ presets: ['default'] })
  const { id } = await announce(client, 7)
  const again = (body: object) => client.post(`/uploads/${id}/reprocess`, body)
  assert.equal(problemOf(await again({ preset: 'avatar' })).slice(0, 3), [403, 'token_limit', 'presets'])
  assert.is(bodyOf(await again({ preset: 'default' }), Problem).code, 'upload_not_finished')
})

test('an upload that is erased before its file arrives stops counting, and one that arrived does not', async () => {
  const { client } = await clientWith({ maxFiles: 1 })
  const first = await announce(client, 7)
  assert.is((await client.delete(`/uploads/${first.id}`)).status, 200)
  await announce(client, 7)
  const sent = await clientWith({ maxFiles: 1 })
  const arrived = await sent.client.request('POST', '/upload?filename=a', { body: 'x' })
  const location = arrived.headers.get('location') ?? ''
  assert.is((await readUpload(sent.client, location.slice('/uploads/'.length))).state, 'received')
  assert.is((await sent.client.delete(location)).status, 200)
  const refused = await sent.client.post('/uploads', {
    filename: 'a',
    contentType: 'image/png',
    size: 7,
  })
  assert.equal(problemOf(refused), [429, 'token_used_up', 'maxFiles', 1, 0])
})

test('an upload that is not admitted, for another reason, does not count', async () => {
  const { client: full, user } = await clientWith({})
  const uploads = await Promise.all(Array.from({ length: 6 }, () => announce(full, 7)))
  const { client } = await clientWith({ maxFiles: 1 }, user)
  const post = () => client.post('/uploads', { filename: 'a.png', contentType: 'image/png', size: 7 })
  for (let n = 0; n < 2; n++) assert.is(bodyOf(await post(), Problem).code, 'quota_exceeded')
  await full.delete(`/uploads/${uploads[0]?.id}`)
  assert.is((await post()).status, 201)
})

test('a repeated request with an Idempotency-Key counts once', async () => {
  const { client } = await clientWith({ maxFiles: 1, maxBytes: 7 })
  const post = () =>
    client.request('POST', '/uploads', {
      json: { filename: 'a.png', contentType: 'image/png', size: 7 },
      headers: { 'idempotency-key': 'one' },
    })
  for (let n = 0; n < 3; n++) assert.is((await post()).status, 201)
})

test('a hundred requests at once use a token no more than it allows', async () => {
  const { client } = await clientWith({ maxFiles: 5 })
  const sent = await Promise.all(
    Array.from({ length: 100 }, () =>
      client.post('/uploads', { filename: 'a.png', contentType: 'image/png', size: 7 }),
    ),
  )
  assert.is(sent.filter(isAccepted).length, 5)
})

test.run()
