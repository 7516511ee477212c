import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import {
  manifestKey,
  originalKey,
  parseOriginalKey,
  variantKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { createUploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, sendForm, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('erase')
const MiB = 1024 ** 2
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

async function sent() {
  const client = createHttpClient(api.url)
  const made = await announce(client, 7)
  const form = formOf(made)
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  await sendForm(form, new Uint8Array(7))
  return { client, id: made.id, form, address }
}

/** What whoever hears of an arrival does, as a worker. */
function receive() {
  const { s3, bucket, redis, prefix } = api
  const records = createUploadRecords({ redis, prefix })
  const originals = createOriginals({ s3, bucket })
  const lookup = createUploadLookup({ records, manifests: createManifests({ s3, bucket }), originals })
  const queue = createUploadQueue({ redis, prefix })
  const eraseObjects = createEraseObjects({ s3, bucket })
  return createReceiveUpload({ lookup, records, originals, queue, eraseObjects })
}

async function keysLeft(owner: string): Promise<string[]> {
  const left: string[] = []
  // Nor is anything told where there is no other region.
  for (const prefix of ['originals', 'variants', 'manifests', 'erased']) {
    const { Versions = [], DeleteMarkers = [] } = await api.s3.send(
      new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: `${prefix}/${owner}/` }),
    )
    left.push(...[...Versions, ...DeleteMarkers].map(({ Key = '' }) => Key))
  }
  return left
}

test('erases original, variants, manifest and record, and gives a receipt', async () => {
  const { client, id, address } = await sent()
  const neighbour = bodyOf(await client.get('/uploads'), UploadPage)
  assert.is(neighbour.uploads.length, 1)
  const stays = await announce(client, 7)
  await sendForm(formOf(stays), new Uint8Array(7))
  const made = [
    variantKey(address, { preset: 'default', name: 'w320', extension: 'webp' }),
    variantKey(address, { preset: 'old', name: 'tiny', extension: 'jpg' }),
    manifestKey(address),
  ]
  // All of them once more, and one deleted besides: the bucket keeps versions.
  for (const Key of [...made, ...made]) {
    await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '{}' }))
  }
  const [first] = made
  await api.s3.send(new DeleteObjectCommand({ Bucket: api.bucket, Key: first }))
  const answer = await client.delete(`/uploads/${id}`)
  assert.is(answer.status, 200)
  const receipt = bodyOf(answer, Receipt)
  assert.is(receipt.id, id)
  assert.equal(
    receipt.erased.toSorted((a, b) => a.key.localeCompare(b.key)),
    [
      { key: originalKey(address), versions: 1 },
      ...made.map((key) => ({ key, versions: key === first ? 3 : 2 })),
    ].toSorted((a, b) => a.key.localeCompare(b.key)),
  )
  assert.ok(Date.parse(receipt.verifiedAt) <= Date.now())
  assert.equal(await keysLeft(address.owner), [`originals/${address.owner}/${stays.id}`])
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
  assert.equal(
    bodyOf(await client.get('/uploads'), UploadPage).uploads.map((upload) => upload.id),
    [stays.id],
  )
})

test('takes the job that waits out of the queue', async () => {
  const { client, id, address } = await sent()
  await receive()(address)
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  const jobs = async () => (await queue.getJobs()).filter((job) => job.data.id === id).length
  assert.is(await jobs(), 1)
  await client.delete(`/uploads/${id}`)
  assert.is(await jobs(), 0)
  await queue.close()
})

test('aborts what is going up in parts', async () => {
  const client = createHttpClient(api.url)
  const made = await announce(client, 20 * MiB)
  const url = multipartOf(made).parts[0]?.url ?? ''
  await sendPart(url, new Uint8Array(8 * MiB))
  assert.is((await client.delete(`/uploads/${made.id}`)).status, 200)
  const late = await fetch(url, { method: 'PUT', body: new Uint8Array(8 * MiB) })
  assert.is(late.status, 404)
  assert.match(await late.text(), /NoSuchUpload/)
})

test('is not undone by bytes that are sent to an old form', async () => {
  const { client, id, form, address } = await sent()
  await client.delete(`/uploads/${id}`)
  assert.is((await sendForm(form, new Uint8Array(7))).status, 201)
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
  assert.is(await receive()(address), undefined)
  assert.equal(await keysLeft(address.owner), [])
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
})

test('is not undone by a worker that was at it', async () => {
  const { client, id, address } = await sent()
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const found = await records.find(address)
  if (!found) throw new Error('There is no record.')
  await client.delete(`/uploads/${id}`)
  assert.is(await records.update(address, (current) => current), undefined)
  const created = await records.create(found.upload).catch((error: unknown) => error)
  assert.match(String(created), /No upload with this id/)
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
})

test('may be repeated by its owner, and by nobody else be done', async () => {
  const { client, id } = await sent()
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  assert.is((await stranger.delete(`/uploads/${id}`)).status, 404)
  assert.is((await createHttpClient(api.url).delete(`/uploads/${id}`)).status, 404)
  assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  const again = await client.delete(`/uploads/${id}`)
  assert.is(again.status, 200)
  assert.equal(bodyOf(again, Receipt).erased, [])
  for (const unknown of ['0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', 'x', '..%2f']) {
    assert.is((await client.delete(`/uploads/${unknown}`)).status, 404)
  }
})

test.run()
