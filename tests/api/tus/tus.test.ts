import { createHash, randomBytes } from 'node:crypto'
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
import { newApiKey } from '@millrace/api/identity/api-keys.ts'
import { createTusLocks } from '@millrace/api/tus/tus-lock.ts'
import { originalKey, parseOriginalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { connectBlockingRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import {
  createTus,
  openPatch,
  patchTus,
  tusChecksum,
  tusMetadata,
  tusOffset,
} from '../../support/tus-client.ts'

const MiB = 1024 ** 2
const test = suite('tus')
const reader = newApiKey('reader', ['uploads:read'])
let api: ApiInstances
/** Two instances: requests of one upload go to either. */
let first: string
let second: string

test.before(async () => {
  const environment = { API_KEYS: reader.entry, MAX_UPLOAD_BYTES: String(64 * MiB), QUOTA_FILES_TOTAL: '3' }
  api = await startApiInstances({ count: 2, environment })
  ;[first = '', second = ''] = api.urls
})
test.after(() => api.close())

const idOf = (path: string) => path.slice('/tus/'.length)
const bytesOf = (size: number) => new Uint8Array(randomBytes(size))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Every object of an upload, by key, and how many multipart uploads are open for it. */
async function leftInS3(id: string) {
  const where = { Bucket: api.bucket }
  const { Versions = [] } = await api.s3.send(new ListObjectVersionsCommand(where))
  const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand(where))
  return {
    keys: Versions.flatMap(({ Key = '' }) => (Key.includes(id) ? [Key] : [])),
    open: Uploads.filter(({ Key = '' }) => Key.includes(id)).length,
  }
}

/** The original of an upload: its address, and the SHA-256 of what lies there. */
async function original(id: string) {
  const [key = ''] = (await leftInS3(id)).keys
  const address = parseOriginalKey(key)
  if (!address) throw new Error(`Not an original: ${key}`)
  const { Body } = await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key: key }))
  return { address, sha256: sha256((await Body?.transformToByteArray()) ?? new Uint8Array()) }
}

/** Waits until some request has the lock of an upload, or none has. */
async function untilLocked(path: string, count: 0 | 1 = 1): Promise<void> {
  while ((await api.redis.keys(`${api.prefix}:*:tus:${idOf(path)}:lock`)).length !== count);
}

async function refusal(client: HttpClient, headers: Record<string, string>) {
  const answer = await client.request('POST', '/tus', { headers: { 'tus-resumable': '1.0.0', ...headers } })
  return { status: answer.status, code: bodyOf(answer, Problem).code, headers: answer.headers }
}

test('takes a file in pieces at any instance, and it is an upload like any other', async () => {
  const client = createHttpClient(first)
  const fields = { filename: 'Grüße.txt', filetype: 'text/plain', preset: 'default', album: 'summer' }
  const path = await createTus(client, 10, fields)
  const id = idOf(path)
  const { state, filename, contentType, size, metadata, expiresAt } = await readUpload(client, id)
  assert.equal([state, filename, contentType, size], ['awaiting', 'Grüße.txt', 'text/plain', 10])
  assert.equal(metadata, { album: 'summer' })
  assert.ok(expiresAt)

  const bytes = bytesOf(10)
  assert.equal(await patchTus(client, first + path, { offset: 0, bytes: bytes.subarray(0, 4) }), {
    status: 204,
    offset: 4,
    code: undefined,
  })
  assert.equal(
    (await leftInS3(id)).keys.map((key) => key.split('/')[0]),
    ['unfinished'],
  )
  const early = await patchTus(client, second + path, { offset: 3, bytes: bytes.subarray(3) })
  assert.equal([early.status, early.code], [409, 'upload_offset_mismatch'])
  const long = await patchTus(client, second + path, { offset: 4, bytes: bytesOf(7) })
  assert.equal([long.status, long.code], [413, 'upload_too_large'])
  const head = await client.request('HEAD', path, { headers: { 'tus-resumable': '1.0.0' }, base: second })
  assert.equal(
    ['upload-offset', 'upload-length', 'cache-control', 'upload-metadata'].map((name) =>
      head.headers.get(name),
    ),
    ['4', '10', 'no-store', tusMetadata(fields)],
  )
  const last = await patchTus(client, second + path, { offset: 4, bytes: bytes.subarray(4) })
  assert.equal([last.status, last.offset], [204, 10])

  assert.is((await readUpload(client, id)).state, 'received')
  const found = await original(id)
  assert.is(found.sha256, sha256(bytes))
  assert.equal(await leftInS3(id), { keys: [originalKey(found.address)], open: 0 })
  const { intent } = (await createOriginals(api).find(found.address)) ?? {}
  assert.is(intent?.filename, 'Grüße.txt')
  assert.equal(intent?.metadata, { album: 'summer' })
  // Its last answer may be lost: the client asks, and hears that there is nothing left to send.
  assert.is(await tusOffset(client, path), 10)
})

test('makes one object of parts and of what lies between them', async () => {
  const client = createHttpClient(first)
  const bytes = bytesOf(17 * MiB + 11)
  const path = await createTus(client, bytes.length)
  let offset = 0
  // The fourth ends where a part does: what lay beside the parts is of no meaning any more.
  for (const [index, size] of [3, 7 * MiB, MiB - 4, 8 * MiB + 1, 7, MiB + 4].entries()) {
    const url = (index % 2 === 0 ? first : second) + path
    const answer = await patchTus(client, url, { offset, bytes: bytes.subarray(offset, offset + size) })
    offset += size
    assert.equal([answer.status, answer.offset], [204, offset])
    assert.is(await tusOffset(client, path, first), offset)
  }
  assert.is(offset, bytes.length)
  assert.is((await original(idOf(path))).sha256, sha256(bytes))
  assert.equal((await leftInS3(idOf(path))).open, 0)
  assert.is((await readUpload(client, idOf(path))).state, 'received')
})

test('takes the bytes with the announcement', async () => {
  const client = createHttpClient(first)
  const answer = await client.request('POST', '/tus/', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': '5',
      'content-type': 'application/offset+octet-stream',
    },
    body: 'hello',
  })
  assert.is(answer.status, 201)
  assert.is(answer.headers.get('upload-offset'), '5')
  const id = idOf(answer.headers.get('location') ?? '')
  assert.is((await readUpload(client, id)).state, 'received')
  assert.is((await readUpload(client, id)).filename, id)
})

test('keeps what came of a client that left', async () => {
  const client = createHttpClient(first)
  const bytes = bytesOf(9 * MiB)
  const path = await createTus(client, bytes.length)
  const patch = openPatch(client, first + path, { offset: 0, length: bytes.length })
  await patch.send(bytes.subarray(0, 8 * MiB + 100))
  patch.close()
  let offset = await tusOffset(client, path, second)
  assert.ok(offset > 0, `nothing was kept`)
  for (; offset < bytes.length; ) {
    const answer = await patchTus(client, second + path, { offset, bytes: bytes.subarray(offset) })
    assert.is(answer.status, 204)
    offset = answer.offset ?? 0
  }
  assert.is((await original(idOf(path))).sha256, sha256(bytes))
})

test('has the holder of a stalled connection let go, and keeps what it had', async () => {
  const client = createHttpClient(first)
  const bytes = bytesOf(100_000)
  const path = await createTus(client, bytes.length)
  const stalled = openPatch(client, first + path, { offset: 0, length: bytes.length })
  await stalled.send(bytes.subarray(0, 60_000))
  await untilLocked(path)
  const rest = { offset: 0, bytes }
  const both = await Promise.all([
    patchTus(client, second + path, rest),
    patchTus(client, first + path, rest),
    patchTus(client, second + path, rest),
  ])
  assert.is(await stalled.status, 423)
  const offset = await tusOffset(client, path, second)
  for (const { status } of both) assert.ok([204, 409, 423].includes(status), `answered with ${status}`)
  if (offset < bytes.length) {
    const last = await patchTus(client, second + path, { offset, bytes: bytes.subarray(offset) })
    assert.equal([last.status, last.offset], [204, bytes.length])
  }
  assert.is((await original(idOf(path))).sha256, sha256(bytes))
})

test('refuses bytes that do not have their checksum, and goes on where they began', async () => {
  const client = createHttpClient(first)
  const bytes = bytesOf(17 * MiB)
  const path = await createTus(client, bytes.length)
  const url = first + path
  const cut = (from: number, to: number) => ({ offset: from, bytes: bytes.subarray(from, to) })
  assert.is((await patchTus(client, url, cut(0, 100))).status, 204)
  const right = { 'upload-checksum': tusChecksum(bytes.subarray(100, 300), 'sha256') }
  assert.is((await patchTus(client, url, { ...cut(100, 300), headers: right })).status, 204)
  const wrong = { 'upload-checksum': tusChecksum(bytes.subarray(0, 5)) }
  // One that fills a part, and one that does not.
  for (const end of [400, 16 * MiB + 100]) {
    const damaged = { ...cut(300, end), bytes: bytesOf(end - 300) }
    const answer = await patchTus(client, url, { ...damaged, headers: wrong })
    assert.equal([answer.status, answer.code], [460, 'chunk_checksum_mismatch'])
    assert.is(await tusOffset(client, path, second), 300)
  }
  // The parts that are not to be trusted are still there, until they are replaced.
  assert.is((await patchTus(client, second + path, cut(300, 9 * MiB))).offset, 9 * MiB)
  assert.is(await tusOffset(client, path), 9 * MiB)
  const last = { 'upload-checksum': tusChecksum(bytes.subarray(9 * MiB)) }
  assert.is((await patchTus(client, url, { ...cut(9 * MiB, 17 * MiB), headers: last })).status, 204)
  assert.is((await original(idOf(path))).sha256, sha256(bytes))
})

test('makes no object of a last chunk whose checksum is wrong', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const bytes = bytesOf(5)
  const headers = { 'upload-checksum': tusChecksum(bytesOf(6)) }
  assert.is((await patchTus(client, first + path, { offset: 0, bytes, headers })).status, 460)
  assert.is(await tusOffset(client, path), 0)
  assert.equal(await leftInS3(idOf(path)), { keys: [], open: 0 })
})

test('forgets an upload that is ended, in either way', async () => {
  for (const way of ['/tus/', '/uploads/']) {
    const client = createHttpClient(first)
    const path = await createTus(client, 9 * MiB)
    const id = idOf(path)
    await patchTus(client, first + path, { offset: 0, bytes: bytesOf(8 * MiB + 5) })
    assert.equal((await leftInS3(id)).keys.length, 1)
    const answer = await client.request('DELETE', way + id, { headers: { 'tus-resumable': '1.0.0' } })
    assert.is(answer.status, way === '/tus/' ? 204 : 200)
    assert.equal(await leftInS3(id), { keys: [], open: 0 })
    assert.is((await client.get(`/uploads/${id}`)).status, 404)
    const late = await patchTus(client, first + path, { offset: 8 * MiB + 5, bytes: bytesOf(5) })
    assert.equal([late.status, late.code], [404, 'upload_not_found'])
  }
})

for (const [end, sizeMiB] of [
  ['whose last byte comes', 5],
  ['whose request ends', 2],
  ['whose client leaves', 5],
] as const) {
  test(`leaves nothing of an upload that is erased meanwhile, and ${end}`, async () => {
    const client = createHttpClient(first)
    const path = await createTus(client, 5 * MiB)
    const patch = openPatch(client, first + path, { offset: 0, length: sizeMiB * MiB })
    await patch.send(bytesOf(MiB))
    await untilLocked(path)
    assert.is((await client.delete(`/uploads/${idOf(path)}`)).status, 200)
    if (end === 'whose client leaves') patch.close()
    else {
      patch.end(bytesOf((sizeMiB - 1) * MiB))
      assert.is(await patch.status, 404)
    }
    await untilLocked(path, 0)
    assert.equal(await leftInS3(idOf(path)), { keys: [], open: 0 })
  })
}

test('tells what it can, and lets pages of other origins read the answers', async () => {
  const client = createHttpClient(first)
  const asked = await client.request('OPTIONS', '/tus/', {
    headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'PATCH' },
  })
  assert.is(asked.status, 204)
  const told = (name: string) => asked.headers.get(name) ?? ''
  assert.is(told('tus-version'), '1.0.0')
  assert.is(told('tus-extension'), 'creation,creation-with-upload,termination,expiration,checksum')
  assert.is(told('tus-checksum-algorithm'), 'sha1,sha256,md5')
  assert.is(told('tus-max-size'), String(64 * MiB))
  assert.is(told('access-control-allow-origin'), '*')
  assert.is(told('access-control-allow-credentials'), '')
  assert.match(told('access-control-allow-methods'), 'PATCH')
  assert.match(told('access-control-allow-headers'), /Authorization.*Upload-Offset.*Upload-Checksum/)
  const refused = await refusal(client, { origin: 'https://elsewhere.example', 'upload-length': '5' })
  assert.equal([refused.status, refused.code], [403, 'cross_site'])
  assert.is(refused.headers.get('access-control-allow-origin'), '*')
  assert.match(refused.headers.get('access-control-expose-headers') ?? '', 'Upload-Offset')
})

for (const [what, headers, status, code] of [
  ['another version', { 'tus-resumable': '0.2.2', 'upload-length': '5' }, 412, 'tus_version_unsupported'],
  ['no length', {}, 400, 'invalid_request'],
  ['a length that is none', { 'upload-length': '-5' }, 400, 'invalid_request'],
  ['a length that is not known yet', { 'upload-defer-length': '1' }, 400, 'invalid_request'],
  ['parts of a file', { 'upload-length': '5', 'upload-concat': 'partial' }, 400, 'invalid_request'],
  ['an empty file', { 'upload-length': '0' }, 400, 'invalid_request'],
  ['a file over the limit', { 'upload-length': String(64 * MiB + 1) }, 413, 'upload_too_large'],
  ['metadata out of shape', { 'upload-length': '5', 'upload-metadata': 'a b c' }, 400, 'invalid_request'],
  [
    'an unknown preset',
    { 'upload-length': '5', 'upload-metadata': tusMetadata({ preset: 'none' }) },
    400,
    'preset_unknown',
  ],
  [
    'a checksum by what is not known',
    { 'upload-length': '5', 'upload-checksum': 'crc1 AA==' },
    400,
    'invalid_request',
  ],
  [
    'a key that may only read',
    { authorization: `Bearer ${reader.key}`, 'upload-length': '5' },
    403,
    'forbidden',
  ],
  ['a key that is none', { authorization: 'Bearer x', 'upload-length': '5' }, 401, 'unauthenticated'],
] satisfies [string, Record<string, string>, number, string][]) {
  test(`refuses ${what}`, async () => {
    const answer = await refusal(createHttpClient(first), headers)
    assert.equal([answer.status, answer.code], [status, code])
    if (status === 412) assert.is(answer.headers.get('tus-version'), '1.0.0')
  })
}

test('refuses bytes of another type, and bytes of an upload that is sent in another way', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const chunk = { offset: 0, bytes: bytesOf(5) }
  const typed = await patchTus(client, first + path, { ...chunk, headers: { 'content-type': 'text/plain' } })
  assert.equal([typed.status, typed.code], [415, 'unsupported_media_type'])
  const { id } = await announce(client, 5)
  assert.is((await patchTus(client, `${first}/tus/${id}`, chunk)).status, 404)
  const inParts = await createTus(client, 9 * MiB)
  const signed = await client.post(`/uploads/${idOf(inParts)}/parts`, { partNumbers: [1] })
  assert.equal([signed.status, bodyOf(signed, Problem).code], [409, 'upload_not_multipart'])
})

test('takes a method that had to hide behind POST', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const headers = {
    ...{ 'tus-resumable': '1.0.0', 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' },
    'x-http-method-override': 'PATCH',
  }
  const answer = await client.request('POST', path, { headers, body: 'hello' })
  assert.equal([answer.status, answer.headers.get('upload-offset')], [204, '5'])
})

test('counts for the quota, which an ended one gives back', async () => {
  const client = createHttpClient(first)
  const paths = [await createTus(client, 5), await createTus(client, 5), await createTus(client, 5)]
  const refused = await refusal(client, { 'upload-length': '5' })
  assert.equal([refused.status, refused.code], [413, 'quota_exceeded'])
  await client.request('DELETE', paths[0] ?? '', { headers: { 'tus-resumable': '1.0.0' } })
  await createTus(client, 5)
})

const silent = createLog({ level: 'silent', instance: 'test' })

/** Locks as another instance has them. */
async function otherLocks(leaseMs: number) {
  const subscriber = connectBlockingRedis(api.environment['REDIS_URL'] ?? '', silent)
  const locks = createTusLocks({ redis: api.redis, subscriber, prefix: api.prefix, log: silent, leaseMs })
  await subscriber.subscribe('ready')
  return { locks, close: () => subscriber.disconnect() }
}

test('a lock ends soon after its holder, and not while its holder lives', async () => {
  const { locks, close } = await otherLocks(300)
  const address = { owner: 'lock', id: newUploadId() }
  const key = `${api.prefix}:{lock}:tus:${address.id}:lock`
  await api.redis.set(key, 'of one that died', 'PX', 300)
  const signal = new AbortController().signal
  let asked = 0
  const taken = await locks.acquire(address, { signal, onWanted: () => asked++ })
  assert.is(asked, 0)
  const next = locks.acquire(address, { signal, onWanted: () => undefined }).then(
    () => 'taken',
    (error) => error.code,
  )
  // Renewed all the time, though its holder is asked to let go.
  assert.is(await next, 'upload_locked')
  assert.ok(asked > 0)
  assert.not(taken.lost.aborted)
  await taken.release()
  assert.is(await api.redis.exists(key), 0)
  close()
})

test('a holder hears that its lock is gone', async () => {
  const { locks, close } = await otherLocks(300)
  const address = { owner: 'lock', id: newUploadId() }
  const signal = new AbortController().signal
  const taken = await locks.acquire(address, { signal, onWanted: () => undefined })
  const lost = new Promise((resolve) => taken.lost.addEventListener('abort', resolve))
  const key = `${api.prefix}:{lock}:tus:${address.id}:lock`
  await api.redis.set(key, 'of somebody else')
  await lost
  await taken.release()
  assert.is(await api.redis.get(key), 'of somebody else')
  close()
})

test('unfinished bytes lie where no event tells of them', () => {
  const address = { owner: 's-1', id: newUploadId() }
  assert.is(parseOriginalKey(unfinishedKey(address)), undefined)
  assert.not.ok(unfinishedKey(address).startsWith('originals/'))
})

test.run()
