import { createHash } from 'node:crypto'
import { ListMultipartUploadsCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createTusLocks } from '@millrace/api/tus/tus-lock.ts'
import {
  erasuresPrefix,
  originalKey,
  parseOriginalKey,
  unfinishedKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { sha256OfObject } from '../../support/object-hash.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
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
import { until } from '../../support/until.ts'

const MiB = 1024 ** 2
const test = suite('tus')
const reader = newApiKey('reader', ['uploads:read'])
let api: ApiInstances
/** The URLs of two instances, which share the requests of an upload. */
let first: string
let second: string

test.before(async () => {
  const environment = { API_KEYS: reader.entry, MAX_UPLOAD_BYTES: String(64 * MiB), QUOTA_FILES_TOTAL: '3' }
  api = await startApiInstances({ count: 2, environment })
  ;[first = '', second = ''] = api.urls
})
test.after(() => api.close())

const idOf = (path: string) => path.slice('/tus/'.length)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Lists the keys of an upload's objects, and counts its open multipart uploads. */
async function listInS3(id: string) {
  const bucket = { Bucket: api.bucket }
  const { Versions = [] } = await api.s3.send(new ListObjectVersionsCommand(bucket))
  const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand(bucket))
  return {
    keys: Versions.flatMap(({ Key = '' }) => (Key.includes(id) ? [Key] : [])),
    open: Uploads.filter(({ Key = '' }) => Key.includes(id)).length,
  }
}

/** Returns what S3 has of an erased upload besides the erasure marker. */
async function remaining(id: string) {
  const { keys, open } = await listInS3(id)
  return [keys.filter((key) => !key.startsWith(erasuresPrefix)), open]
}

/** Reads the original of an upload. Returns its address and the SHA-256 of its bytes. */
async function readOriginal(id: string) {
  const [key = ''] = (await listInS3(id)).keys
  const address = parseOriginalKey(key)
  if (!address) throw new Error(`Not an original: ${key}`)
  return { address, sha256: await sha256OfObject(api.s3, { Bucket: api.bucket, Key: key }) }
}

/** Waits until a request has the lock of an upload, or until none has it. */
async function untilLocked(path: string, count: 0 | 1 = 1): Promise<void> {
  await until(async () => (await api.redis.keys(`${api.prefix}:*:tus:${idOf(path)}:lock`)).length === count)
}

/** Sends an invalid POST request. Returns its problem. */
async function refusedPost(client: HttpClient, headers: Record<string, string>) {
  const response = await client.request('POST', '/tus', {
    headers: { 'tus-resumable': '1.0.0', ...headers },
  })
  return { status: response.status, code: bodyOf(response, Problem).code, headers: response.headers }
}

test('a tus upload is sent in pieces to any instance and becomes a regular upload', async () => {
  const client = createHttpClient(first)
  const fields = { filename: 'Grüße.txt', filetype: 'text/plain', preset: 'default', album: 'summer' }
  const path = await createTus(client, 10, fields)
  const id = idOf(path)
  const { state, filename, contentType, size, metadata, expiresAt } = await readUpload(client, id)
  assert.equal([state, filename, contentType, size], ['awaiting', 'Grüße.txt', 'text/plain', 10])
  assert.equal(metadata, { album: 'summer' })
  assert.ok(expiresAt)

  const bytes = distinctBytes(10)
  assert.equal(await patchTus(client, first + path, { offset: 0, bytes: bytes.subarray(0, 4) }), {
    status: 204,
    offset: 4,
    code: undefined,
  })
  assert.equal(
    (await listInS3(id)).keys.map((key) => key.split('/')[0]),
    ['unfinished'],
  )
  const wrongOffset = await patchTus(client, second + path, { offset: 3, bytes: bytes.subarray(3) })
  assert.equal([wrongOffset.status, wrongOffset.code], [409, 'upload_offset_mismatch'])
  const tooLong = await patchTus(client, second + path, { offset: 4, bytes: distinctBytes(7) })
  assert.equal([tooLong.status, tooLong.code], [413, 'upload_too_large'])
  // Of a length that is known only at its end.
  const stream = await fetch(second + path, {
    method: 'PATCH',
    headers: {
      ...{ 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' },
      ...{ 'upload-offset': '4', cookie: client.cookie ?? '' },
    },
    body: new Blob([distinctBytes(7)]).stream(),
    duplex: 'half',
  })
  assert.equal([stream.status, Object(await stream.json()).code], [413, 'upload_too_large'])
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
  const found = await readOriginal(id)
  assert.is(found.sha256, sha256(bytes))
  assert.equal(await listInS3(id), { keys: [originalKey(found.address)], open: 0 })
  const { intent } = (await createOriginals(api).find(found.address)) ?? {}
  assert.is(intent?.filename, 'Grüße.txt')
  assert.equal(intent?.metadata, { album: 'summer' })
  // If the client did not receive the last response, HEAD still returns the final offset.
  assert.is(await tusOffset(client, path), 10)
})

test('a tus upload of parts and unfinished bytes becomes one object', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(17 * MiB + 11)
  const path = await createTus(client, bytes.length)
  let offset = 0
  // The fourth request ends with a part, so the unfinished bytes of the earlier requests no longer count.
  for (const [index, size] of [3, 7 * MiB, MiB - 4, 8 * MiB + 1, 7, MiB + 4].entries()) {
    const url = (index % 2 === 0 ? first : second) + path
    const response = await patchTus(client, url, { offset, bytes: bytes.subarray(offset, offset + size) })
    offset += size
    assert.equal([response.status, response.offset], [204, offset])
    assert.is(await tusOffset(client, path, first), offset)
  }
  assert.is(offset, bytes.length)
  assert.is((await readOriginal(idOf(path))).sha256, sha256(bytes))
  assert.equal((await listInS3(idOf(path))).open, 0)
  assert.is((await readUpload(client, idOf(path))).state, 'received')
})

test('a POST with a body creates a tus upload and stores its bytes', async () => {
  const client = createHttpClient(first)
  const response = await client.request('POST', '/tus/', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': '5',
      'content-type': 'application/offset+octet-stream',
    },
    body: 'hello',
  })
  assert.is(response.status, 201)
  assert.is(response.headers.get('upload-offset'), '5')
  const id = idOf(response.headers.get('location') ?? '')
  assert.is((await readUpload(client, id)).state, 'received')
  assert.is((await readUpload(client, id)).filename, id)
})

test('the bytes of a client that closed the connection are stored', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(9 * MiB)
  const path = await createTus(client, bytes.length)
  const patch = openPatch(client, first + path, { offset: 0, length: bytes.length })
  await patch.send(bytes.subarray(0, 8 * MiB + 100))
  await untilLocked(path)
  patch.close()
  await untilLocked(path, 0)
  const offset = await tusOffset(client, path, second)
  assert.is(offset, 8 * MiB + 100)
  const last = await patchTus(client, second + path, { offset, bytes: bytes.subarray(offset) })
  assert.equal([last.status, last.offset], [204, bytes.length])
  assert.is((await readOriginal(idOf(path))).sha256, sha256(bytes))
})

test('the holder of a stalled connection releases its lock to the next request and stores its bytes', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(100_000)
  const path = await createTus(client, bytes.length)
  const stalled = openPatch(client, first + path, { offset: 0, length: bytes.length })
  await stalled.send(bytes.subarray(0, 60_000))
  await untilLocked(path)
  const wholeFile = { offset: 0, bytes }
  const responses = await Promise.all([
    patchTus(client, second + path, wholeFile),
    patchTus(client, first + path, wholeFile),
    patchTus(client, second + path, wholeFile),
  ])
  assert.is(await stalled.status, 423)
  const offset = await tusOffset(client, path, second)
  assert.is(offset, 60_000)
  // They begin at another offset, or another one of them has the lock.
  const statuses = responses.map(({ status }) => status)
  assert.ok(
    statuses.includes(409) && statuses.every((status) => status === 409 || status === 423),
    `${statuses}`,
  )
  const last = await patchTus(client, second + path, { offset, bytes: bytes.subarray(offset) })
  assert.equal([last.status, last.offset], [204, bytes.length])
  assert.is((await readOriginal(idOf(path))).sha256, sha256(bytes))
})

test('bytes that do not match their checksum are refused and do not change the offset', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(17 * MiB)
  const path = await createTus(client, bytes.length)
  const url = first + path
  const chunk = (start: number, end: number) => ({ offset: start, bytes: bytes.subarray(start, end) })
  assert.is((await patchTus(client, url, chunk(0, 100))).status, 204)
  const right = { 'upload-checksum': tusChecksum(bytes.subarray(100, 300), 'sha256') }
  assert.is((await patchTus(client, url, { ...chunk(100, 300), headers: right })).status, 204)
  const wrong = { 'upload-checksum': tusChecksum(bytes.subarray(0, 5)) }
  // One request does not fill a part, the other one does.
  for (const end of [400, 16 * MiB + 100]) {
    const damaged = { ...chunk(300, end), bytes: distinctBytes(end - 300) }
    const response = await patchTus(client, url, { ...damaged, headers: wrong })
    assert.equal([response.status, response.code], [460, 'chunk_checksum_mismatch'])
    assert.is(await tusOffset(client, path, second), 300)
  }
  // The parts that do not count stay in S3 until they are replaced.
  assert.is((await patchTus(client, second + path, chunk(300, 9 * MiB))).offset, 9 * MiB)
  assert.is(await tusOffset(client, path), 9 * MiB)
  const last = { 'upload-checksum': tusChecksum(bytes.subarray(9 * MiB)) }
  assert.is((await patchTus(client, url, { ...chunk(9 * MiB, 17 * MiB), headers: last })).status, 204)
  assert.is((await readOriginal(idOf(path))).sha256, sha256(bytes))
})

test('a last chunk that does not match its checksum creates no object', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const bytes = distinctBytes(5)
  const headers = { 'upload-checksum': tusChecksum(distinctBytes(6)) }
  assert.is((await patchTus(client, first + path, { offset: 0, bytes, headers })).status, 460)
  assert.is(await tusOffset(client, path), 0)
  assert.equal(await listInS3(idOf(path)), { keys: [], open: 0 })
})

test('DELETE by tus and DELETE /uploads/{id} both erase a tus upload', async () => {
  for (const base of ['/tus/', '/uploads/']) {
    const client = createHttpClient(first)
    const path = await createTus(client, 9 * MiB)
    const id = idOf(path)
    await patchTus(client, first + path, { offset: 0, bytes: distinctBytes(8 * MiB + 5) })
    assert.equal((await listInS3(id)).keys.length, 1)
    const response = await client.request('DELETE', base + id, { headers: { 'tus-resumable': '1.0.0' } })
    assert.is(response.status, base === '/tus/' ? 204 : 200)
    assert.equal(await remaining(id), [[], 0])
    assert.is((await client.get(`/uploads/${id}`)).status, 404)
    const late = await patchTus(client, first + path, { offset: 8 * MiB + 5, bytes: distinctBytes(5) })
    assert.equal([late.status, late.code], [404, 'upload_not_found'])
  }
})

for (const [end, sizeMiB] of [
  ['its last byte arrives', 5],
  ['its request ends', 2],
  ['its client closes the connection', 5],
] as const) {
  test(`nothing remains of a tus upload that is erased before ${end}`, async () => {
    const client = createHttpClient(first)
    const path = await createTus(client, 5 * MiB)
    const patch = openPatch(client, first + path, { offset: 0, length: sizeMiB * MiB })
    await patch.send(distinctBytes(MiB))
    await untilLocked(path)
    assert.is((await client.delete(`/uploads/${idOf(path)}`)).status, 200)
    if (end === 'its client closes the connection') patch.close()
    else {
      patch.end(distinctBytes((sizeMiB - 1) * MiB))
      assert.is(await patch.status, 404)
    }
    await untilLocked(path, 0)
    assert.equal(await remaining(idOf(path)), [[], 0])
  })
}

test('OPTIONS lists versions, extensions and limits, and opens nothing to pages of other origins', async () => {
  const client = createHttpClient(first)
  const response = await client.request('OPTIONS', '/tus/', {
    headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'PATCH' },
  })
  assert.is(response.status, 204)
  const header = (name: string) => response.headers.get(name) ?? ''
  assert.is(header('tus-version'), '1.0.0')
  assert.is(
    header('tus-extension'),
    'creation,creation-with-upload,creation-defer-length,termination,expiration,checksum',
  )
  assert.is(header('tus-checksum-algorithm'), 'sha1,sha256,md5')
  assert.is(header('tus-max-size'), String(64 * MiB))
  assert.equal(
    [...response.headers.keys()].filter((name) => name.startsWith('access-control-')),
    [],
  )
  const refused = await refusedPost(client, { origin: 'https://elsewhere.example', 'upload-length': '5' })
  assert.equal([refused.status, refused.code], [403, 'cross_site'])
  assert.is(refused.headers.get('access-control-allow-origin'), null)
})

for (const [name, headers, status, code] of [
  ['another version', { 'tus-resumable': '0.2.2', 'upload-length': '5' }, 412, 'tus_version_unsupported'],
  ['no length', {}, 400, 'invalid_request'],
  ['an invalid length', { 'upload-length': '-5' }, 400, 'invalid_request'],
  ['a deferred length of another value', { 'upload-defer-length': '2' }, 400, 'invalid_request'],
  [
    'a length that is both given and deferred',
    { 'upload-length': '5', 'upload-defer-length': '1' },
    400,
    'invalid_request',
  ],
  ['a partial upload', { 'upload-length': '5', 'upload-concat': 'partial' }, 400, 'invalid_request'],
  ['a file over the limit', { 'upload-length': String(64 * MiB + 1) }, 413, 'upload_too_large'],
  [
    'metadata of more than 8 KB, although only a part of it is kept with the file',
    { 'upload-length': '5', 'upload-metadata': tusMetadata({ relativePath: 'p'.repeat(7_000) }) },
    400,
    'invalid_request',
  ],
  [
    'an unknown preset',
    { 'upload-length': '5', 'upload-metadata': tusMetadata({ preset: 'none' }) },
    400,
    'preset_unknown',
  ],
  [
    'an unknown checksum algorithm',
    { 'upload-length': '5', 'upload-checksum': 'crc1 AA==' },
    400,
    'invalid_request',
  ],
  [
    'an API key without the write scope',
    { authorization: `Bearer ${reader.key}`, 'upload-length': '5' },
    403,
    'forbidden',
  ],
  ['an unknown API key', { authorization: 'Bearer x', 'upload-length': '5' }, 401, 'unauthenticated'],
] satisfies [string, Record<string, string>, number, string][]) {
  test(`POST /tus refuses ${name}`, async () => {
    const response = await refusedPost(createHttpClient(first), headers)
    assert.equal([response.status, response.code], [status, code])
    if (status === 412) assert.is(response.headers.get('tus-version'), '1.0.0')
  })
}

test('PATCH refuses another content type, and an upload that is not a tus upload', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const chunk = { offset: 0, bytes: distinctBytes(5) }
  const wrongType = await patchTus(client, first + path, {
    ...chunk,
    headers: { 'content-type': 'text/plain' },
  })
  assert.equal([wrongType.status, wrongType.code], [415, 'unsupported_media_type'])
  const { id } = await announce(client, 5)
  assert.is((await patchTus(client, `${first}/tus/${id}`, chunk)).status, 404)
  const inParts = await createTus(client, 9 * MiB)
  const signed = await client.post(`/uploads/${idOf(inParts)}/parts`, { partNumbers: [1] })
  assert.equal([signed.status, bodyOf(signed, Problem).code], [409, 'upload_not_multipart'])
})

test('X-HTTP-Method-Override replaces the method of a POST', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 5)
  const headers = {
    ...{ 'tus-resumable': '1.0.0', 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' },
    'x-http-method-override': 'PATCH',
  }
  const response = await client.request('POST', path, { headers, body: 'hello' })
  assert.equal([response.status, response.headers.get('upload-offset')], [204, '5'])
})

test('a tus upload counts for the quota until it is deleted', async () => {
  const client = createHttpClient(first)
  const paths = [await createTus(client, 5), await createTus(client, 5), await createTus(client, 5)]
  const refused = await refusedPost(client, { 'upload-length': '5' })
  assert.equal([refused.status, refused.code], [413, 'quota_exceeded'])
  await client.request('DELETE', paths[0] ?? '', { headers: { 'tus-resumable': '1.0.0' } })
  await createTus(client, 5)
})

const silent = createLog({ level: 'silent', instance: 'test' })

/** Creates the locks of another instance. */
async function createOtherLocks(leaseMs: number) {
  const subscriber = openSubscriber(api.environment['REDIS_URL'] ?? '')
  const locks = createTusLocks({ redis: api.redis, subscriber, prefix: api.prefix, log: silent, leaseMs })
  await subscriber.confirmAll()
  return { locks, close: () => subscriber.disconnect() }
}

test('a lock expires soon after its holder died, but not while its holder renews it', async () => {
  const { locks, close } = await createOtherLocks(300)
  const address = { owner: 'lock', id: newUploadId() }
  const key = `${api.prefix}:{lock}:tus:${address.id}:lock`
  await api.redis.set(key, 'dead holder', 'PX', 300)
  const signal = new AbortController().signal
  let wantedCalls = 0
  const lock = await locks.acquire(address, { signal, onWanted: () => wantedCalls++ })
  assert.is(wantedCalls, 0)
  const next = locks.acquire(address, { signal, onWanted: () => undefined }).then(
    () => 'acquired',
    (error) => error.code,
  )
  // The holder ignores `onWanted` and renews the lock until the other request fails.
  assert.is(await next, 'upload_locked')
  assert.ok(wantedCalls > 0)
  assert.not(lock.lost.aborted)
  await lock.release()
  assert.is(await api.redis.exists(key), 0)
  close()
})

test('a holder is notified when its lock is lost', async () => {
  const { locks, close } = await createOtherLocks(300)
  const address = { owner: 'lock', id: newUploadId() }
  const signal = new AbortController().signal
  const lock = await locks.acquire(address, { signal, onWanted: () => undefined })
  const lost = new Promise((resolve) => lock.lost.addEventListener('abort', resolve))
  const key = `${api.prefix}:{lock}:tus:${address.id}:lock`
  await api.redis.set(key, 'another holder')
  await lost
  await lock.release()
  assert.is(await api.redis.get(key), 'another holder')
  close()
})

test('unfinished bytes have a key for which S3 publishes no event', () => {
  const address = { owner: 's-1', id: newUploadId() }
  assert.is(parseOriginalKey(unfinishedKey(address)), undefined)
  assert.not.ok(unfinishedKey(address).startsWith('originals/'))
})

test.run()
