import { randomUUID } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { manifestKey, parseOriginalKey, variantKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { tusOffset } from '../../support/tus-client.ts'

const test = suite('uploads of another version')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { QUOTA_FILES_TOTAL: '1000' } })
})
test.after(() => api.close())

const recordsOf = () => createUploadRecords({ redis: api.redis, prefix: api.prefix })
const recordKey = ({ owner, id }: UploadAddress) => `${api.prefix}:{${owner}}:upload:${id}`

/** Announces a form of seven bytes, and sends it on request. */
async function announceForm({ send }: { send: boolean }) {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 7)
  const form = formOf(announced)
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  if (send) await sendForm(form, new Uint8Array(7))
  return { client, address, path: `/uploads/${address.id}` }
}

/** Writes a manifest as a worker does. @param changes fields that another version writes */
async function putManifest(address: UploadAddress, changes: object = {}): Promise<Manifest> {
  const original = await createOriginals(api).find(address)
  const stored = await recordsOf().find(address)
  if (!original || !stored) throw new Error('The upload has no original or no record.')
  const { intent, createdAt } = stored.upload
  const manifest: Manifest = {
    version: 1,
    ...address,
    outcome: 'ready',
    intent,
    arrival: original.arrival,
    recipe: 'recipe',
    findings: {},
    variants: [
      {
        name: 'w320',
        key: variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' }),
        contentType: 'image/webp',
        width: 1,
        height: 1,
        size: 1,
      },
    ],
    createdAt,
    finishedAt: createdAt,
  }
  const Body = JSON.stringify({ ...manifest, ...changes })
  await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key: manifestKey(address), Body }))
  return manifest
}

/** Changes a record to what another version may write, and returns it. */
async function rewriteRecord(address: UploadAddress, rewrite: (record: object) => string) {
  const record: unknown = JSON.parse((await api.redis.hget(recordKey(address), 'record')) ?? '')
  if (typeof record !== 'object' || record === null) throw new Error('The record is no object.')
  await api.redis.hset(recordKey(address), 'record', rewrite(record))
  return api.redis.hgetall(recordKey(address))
}

const futureState = (record: object) => JSON.stringify({ ...record, state: 'quarantined' })

/** Checks that a response is 503 with the time of a retry. */
function assertUnreadable(response: HttpResponse, name: string): void {
  assert.equal([response.status, bodyOf(response, Problem).code], [503, 'unreadable_record'], name)
  assert.is(response.headers.get('retry-after'), '5', name)
}

const idsOf = async (client: HttpClient) =>
  bodyOf(await client.get('/uploads'), UploadPage).uploads.map(({ id }) => id)

const claimedParts = { parts: [{ partNumber: 1, etag: 'x' }] }

test('every route reads an upload from S3 if its record is of a newer version, and keeps the record', async () => {
  const { client, address, path } = await announceForm({ send: true })
  const record = await rewriteRecord(address, futureState)

  assert.is((await readUpload(client, address.id)).state, 'received')
  assert.equal(await idsOf(client), [address.id])
  const refused: [HttpResponse, string][] = [
    [await client.get(`${path}/parts`), 'upload_closed'],
    [await client.post(`${path}/parts`, { partNumbers: [1] }), 'upload_closed'],
    [await client.get(`${path}/original`), 'upload_not_ready'],
    [await client.get(`${path}/variants/w320`), 'upload_not_ready'],
    [await client.get(`/uppy/s3/multipart/${address.id}`), 'upload_closed'],
    [await client.get(`/uppy/s3/multipart/${address.id}/1`), 'upload_closed'],
    [await client.delete(`/uppy/s3/multipart/${address.id}`), 'upload_closed'],
  ]
  for (const [response, code] of refused) {
    assert.equal([response.status, bodyOf(response, Problem).code], [409, code])
  }
  assert.is((await client.post(`${path}/complete`, claimedParts)).status, 202)
  assert.is(await tusOffset(client, `/tus/${address.id}`), 7)
  const events = await openEventStream(new URL(`${path}/events`, api.url), client)
  assert.match(JSON.stringify((await events.next())?.data), /"state":"received"/)
  events.close()
  const ownerEvents = await openEventStream(new URL('/events', api.url), client)
  assert.match(JSON.stringify((await ownerEvents.next())?.data), new RegExp(address.id))
  ownerEvents.close()
  assert.equal(await api.redis.hgetall(recordKey(address)), record)

  assert.is((await client.delete(path)).status, 200)
  assert.is(await api.redis.exists(recordKey(address)), 0)
  assert.is((await client.get(path)).status, 404)
})

test('a finished upload is served by its manifest if its record is of a newer version', async () => {
  const { client, address, path } = await announceForm({ send: true })
  await putManifest(address)
  const record = await rewriteRecord(address, futureState)
  assert.is((await readUpload(client, address.id)).state, 'ready')
  assert.is((await client.get(`${path}/original`)).status, 302)
  assert.is((await client.get(`${path}/variants/w320`)).status, 302)
  assert.equal(await api.redis.hgetall(recordKey(address)), record)
})

test('a record of any unknown form is neither missing nor an internal error', async () => {
  const forms: [name: string, write: (address: UploadAddress) => Promise<unknown>][] = [
    ['a new state', (address) => rewriteRecord(address, futureState)],
    ['not JSON', (address) => rewriteRecord(address, () => '\u0001packed')],
    [
      'a missing field',
      (address) => rewriteRecord(address, (record) => JSON.stringify({ ...record, intent: {} })),
    ],
    ['no record', (address) => api.redis.hdel(recordKey(address), 'record')],
    ['no revision', (address) => api.redis.hdel(recordKey(address), 'revision')],
    ['a revision that is no number', (address) => api.redis.hset(recordKey(address), 'revision', 'x')],
    [
      'a key of another type',
      (address) => api.redis.multi().del(recordKey(address)).set(recordKey(address), 'x').exec(),
    ],
  ]
  for (const [name, write] of forms) {
    const { client, address, path } = await announceForm({ send: false })
    const { client: other, path: otherPath } = await announceForm({ send: false })
    await write(address)
    const requests: [string, () => Promise<HttpResponse>][] = [
      ['read', () => client.get(path)],
      ['parts', () => client.get(`${path}/parts`)],
      ['complete', () => client.post(`${path}/complete`, claimedParts)],
      ['original', () => client.get(`${path}/original`)],
      ['events', () => client.get(`${path}/events`)],
      ['tus', () => client.request('HEAD', `/tus/${address.id}`, { headers: { 'tus-resumable': '1.0.0' } })],
    ]
    for (const [route, request] of requests) {
      const [response, ofOther] = await Promise.all([request(), other.get(otherPath)])
      if (route === 'tus') assert.is(response.status, 503, `${name}: ${route}`)
      else assertUnreadable(response, `${name}: ${route}`)
      assert.is(ofOther.status, 200, `${name}: a request of the same moment`)
    }
    assert.equal(await idsOf(client), [], name)
    assert.is(await api.redis.exists(recordKey(address)), 1, name)
    assert.is(bodyOf(await client.delete(path), Receipt).id, address.id, name)
  }
})

test('fields of a record that only a newer version knows stay when an older version changes it', async () => {
  const { client, address } = await announceForm({ send: false })
  await rewriteRecord(address, (record) => JSON.stringify({ ...record, scan: { engine: 'x' } }))
  assert.is((await readUpload(client, address.id)).state, 'awaiting')
  await recordsOf().update(address, (current) => ({ ...current, state: 'received' }))
  const record = (await api.redis.hget(recordKey(address), 'record')) ?? ''
  assert.match(record, /"scan":\{"engine":"x"\}/)
  assert.match(record, /"state":"received"/)
})

test('an error code that only a newer version knows is shown as internal, with its sentence', async () => {
  const { client, address } = await announceForm({ send: true })
  const error = { code: 'code_of_a_newer_version', message: 'The file contains malware.' }
  await putManifest(address, { outcome: 'rejected', variants: [], error })
  await api.redis.del(recordKey(address))
  const upload = await readUpload(client, address.id)
  assert.equal([upload.state, upload.error], ['rejected', { code: 'internal', message: error.message }])
  assert.equal((await recordsOf().find(address))?.upload.error, error, 'the record keeps the code')
})

test('an upload with a manifest of a newer version is answered 503, and neither its manifest nor a record is written', async () => {
  const { client, address, path } = await announceForm({ send: true })
  await putManifest(address, { version: 2 })
  await api.redis.del(recordKey(address))
  assertUnreadable(await client.get(path), 'read')
  assertUnreadable(await client.get(`${path}/original`), 'original')
  assert.equal(await idsOf(client), [])
  assert.is(await api.redis.exists(recordKey(address)), 0)
  assert.is((await client.delete(path)).status, 200)
})

test('an unreadable upload does not end the list of the other ones, and stays listed', async () => {
  const client = createHttpClient(api.url)
  const first = await announce(client, 7)
  const second = await announce(client, 7)
  const address = parseOriginalKey(formOf(second).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const { record: readable } = await api.redis.hgetall(recordKey(address))
  await rewriteRecord(address, futureState)
  assert.equal(await idsOf(client), [first.id])
  await api.redis.hset(recordKey(address), 'record', readable ?? '')
  assert.equal(await idsOf(client), [second.id, first.id])
})

test('a response that another version stored with an Idempotency-Key is ignored: its upload is found', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const key = randomUUID()
  const request = () =>
    client.post(
      '/uploads',
      { filename: 'a.jpg', contentType: 'image/jpeg', size: 7 },
      { headers: { 'idempotency-key': key } },
    )
  const { id } = bodyOf(await request(), Announced)
  const [redisKey = ''] = (await api.redis.keys(`${api.prefix}:*:idempotency:*`)).slice(-1)
  const futureResponse = JSON.stringify({ id, state: 'awaiting', transport: { kind: 'webtransport' } })
  for (const answer of [deflateRawSync(futureResponse).toString('base64'), 'not packed', '']) {
    await api.redis.hset(redisKey, 'answer', answer)
    assert.is(bodyOf(await request(), Announced).id, id)
  }
  assert.equal(await idsOf(client), [id])
})

test('a reservation of a newer version does not keep an upload from being erased', async () => {
  const { client, address, path } = await announceForm({ send: false })
  const held = `${api.prefix}:{${address.owner}}:quota:held`
  assert.is(await api.redis.hget(held, address.id), '7')
  await api.redis.hset(held, address.id, '{"bytes":7}')
  assert.is((await client.delete(path)).status, 200)
  assert.is(await api.redis.hexists(held, address.id), 0)
})

test.run()
