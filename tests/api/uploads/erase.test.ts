import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { createImportQueue, type ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { createUploadQueue, type UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import {
  manifestKey,
  originalKey,
  parseOriginalKey,
  uploadVariantsPrefix,
  variantKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { createApplyErasure } from '@millrace/worker/arrivals/apply-erasure.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, sendForm, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('erase')
const MiB = 1024 ** 2
let api: ApiInstances
let queues: { queue: UploadQueue; imports: ImportQueue }

test.before(async () => {
  api = await startApiInstances()
  queues = { queue: createUploadQueue(api), imports: createImportQueue(api) }
})
test.after(() => api.close())

/** Announces and sends a file of a new client. */
async function sendFile() {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 7)
  const form = formOf(announced)
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The key in the form is not the key of an original.')
  await sendForm(form, new Uint8Array(7))
  return { client, id: announced.id, form, address }
}

/** Creates the function with which a worker receives an upload. */
function createReceive() {
  const { s3, bucket, redis, prefix } = api
  return createTestLifecycle({ s3, bucket, redis, prefix }).receiveUpload
}

/** Lists all versions and delete markers of an owner's objects. */
async function remainingKeys(owner: string): Promise<string[]> {
  const keys: string[] = []
  for (const prefix of ['originals', 'variants', 'manifests', 'unfinished']) {
    const { Versions = [], DeleteMarkers = [] } = await api.s3.send(
      new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: `${prefix}/${owner}/` }),
    )
    keys.push(...[...Versions, ...DeleteMarkers].map(({ Key = '' }) => Key))
  }
  return keys
}

test('DELETE erases original, variants, manifest and record, and returns a receipt', async () => {
  const { client, id, address } = await sendFile()
  assert.is(bodyOf(await client.get('/uploads'), UploadPage).uploads.length, 1)
  const other = await announce(client, 7)
  await sendForm(formOf(other), new Uint8Array(7))
  const derivedKeys = [
    variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' }),
    `${uploadVariantsPrefix(address)}old/tiny.jpg`,
    manifestKey(address),
  ]
  // The bucket is versioned: each key has two versions, and the first key also has a delete marker.
  for (const Key of [...derivedKeys, ...derivedKeys]) {
    await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '{}' }))
  }
  const [deletedKey] = derivedKeys
  await api.s3.send(new DeleteObjectCommand({ Bucket: api.bucket, Key: deletedKey }))
  const startedAt = Date.now()
  const response = await client.delete(`/uploads/${id}`)
  assert.is(response.status, 200)
  const receipt = bodyOf(response, Receipt)
  assert.is(receipt.id, id)
  assert.equal(
    receipt.erased.toSorted((a, b) => a.key.localeCompare(b.key)),
    [
      { key: originalKey(address), versions: 1 },
      ...derivedKeys.map((key) => ({ key, versions: key === deletedKey ? 3 : 2 })),
    ].toSorted((a, b) => a.key.localeCompare(b.key)),
  )
  const verifiedAt = Date.parse(receipt.verifiedAt)
  assert.ok(verifiedAt >= startedAt && verifiedAt <= Date.now())
  assert.equal(await remainingKeys(address.owner), [`originals/${address.owner}/${other.id}`])
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
  assert.equal(
    bodyOf(await client.get('/uploads'), UploadPage).uploads.map((upload) => upload.id),
    [other.id],
  )
})

test('a receipt names all versions of all objects, also if the worker that gets the event of the marker erases them first', async () => {
  const { id, form, address } = await sendFile()
  await sendForm(form, new Uint8Array(7))
  const manifest = { Bucket: api.bucket, Key: manifestKey(address) }
  await api.s3.send(new PutObjectCommand({ ...manifest, Body: '{}' }))
  await api.s3.send(new DeleteObjectCommand(manifest))
  const lifecycle = createTestLifecycle(api)
  const eraseUpload = createEraseUpload({
    ...lifecycle,
    ...queues,
    erasures: {
      ...lifecycle.erasures,
      async mark(marked) {
        await lifecycle.erasures.mark(marked)
        await createApplyErasure(lifecycle)(marked)
        assert.equal(await remainingKeys(address.owner), [], 'the worker was first')
      },
    },
  })
  const { erased } = await eraseUpload(address)
  assert.equal(erased, [
    { key: originalKey(address), versions: 2 },
    { key: manifestKey(address), versions: 2 },
  ])
  assert.equal((await eraseUpload({ owner: address.owner, id })).erased, [], 'nothing is erased twice')
})

test('an object that appears between the listing and the marker, or after the marker, is erased and in the receipt', async () => {
  const lifecycle = createTestLifecycle(api)
  const { address } = await sendFile()
  const write = (Key: string) => api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '{}' }))
  const eraseUpload = createEraseUpload({
    ...lifecycle,
    ...queues,
    erasures: {
      ...lifecycle.erasures,
      async mark(marked) {
        await write(manifestKey(address))
        await lifecycle.erasures.mark(marked)
        await write(originalKey(address))
      },
    },
  })
  const { erased } = await eraseUpload(address)
  assert.equal(erased, [
    { key: originalKey(address), versions: 2 },
    { key: manifestKey(address), versions: 1 },
  ])
  assert.equal(await remainingKeys(address.owner), [])
})

test('DELETE removes the waiting job from the queue', async () => {
  const { client, id, address } = await sendFile()
  await createReceive()(address)
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  const countJobs = async () => (await queue.getJobs()).filter((job) => job.data.id === id).length
  assert.is(await countJobs(), 1)
  await client.delete(`/uploads/${id}`)
  assert.is(await countJobs(), 0)
  await queue.close()
})

test('DELETE aborts an open multipart upload', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 20 * MiB)
  const url = multipartOf(announced).parts[0]?.url ?? ''
  await sendPart(url, new Uint8Array(8 * MiB))
  assert.is((await client.delete(`/uploads/${announced.id}`)).status, 200)
  const latePart = await fetch(url, { method: 'PUT', body: new Uint8Array(8 * MiB) })
  assert.is(latePart.status, 404)
  assert.match(await latePart.text(), /NoSuchUpload/)
})

test('bytes sent to a form that was signed before the erasure do not restore the upload', async () => {
  const { client, id, form, address } = await sendFile()
  await client.delete(`/uploads/${id}`)
  assert.is((await sendForm(form, new Uint8Array(7))).status, 201)
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
  assert.is(await createReceive()(address), undefined)
  assert.equal(await remainingKeys(address.owner), [])
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
})

test('a worker that was processing the upload does not restore it after the erasure', async () => {
  const { client, id, address } = await sendFile()
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const found = await records.find(address)
  if (!found) throw new Error('The upload has no record.')
  await client.delete(`/uploads/${id}`)
  assert.is(await records.update(address, (current) => current), undefined)
  const error = await records.create(found.upload).catch((reason: unknown) => reason)
  assert.is(error instanceof AppError && error.code, 'upload_not_found')
  assert.is((await client.get(`/uploads/${id}`)).status, 404)
})

test('only the owner may erase an upload, and may repeat it', async () => {
  const { client, id } = await sendFile()
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  assert.is((await stranger.delete(`/uploads/${id}`)).status, 404)
  assert.is((await createHttpClient(api.url).delete(`/uploads/${id}`)).status, 404)
  assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  const again = await client.delete(`/uploads/${id}`)
  assert.is(again.status, 200)
  assert.equal(bodyOf(again, Receipt).erased, [])
  for (const unknownId of ['0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', 'x', '..%2f']) {
    assert.is((await client.delete(`/uploads/${unknownId}`)).status, 404)
  }
})

test.run()
