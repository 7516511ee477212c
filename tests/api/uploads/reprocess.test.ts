import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { originalKey, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { recordArrival } from '@millrace/shared/lifecycle/upload-truth.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('reprocess')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    environment: { PRESETS: JSON.stringify([{ name: 'plain', variants: [] }]) },
  })
})
test.after(() => api.close())

/** Sends a file of a new client, and records the state that a worker would record. */
async function sendFile(state: Upload['state'], error?: Upload['error']) {
  const { s3, bucket, redis, prefix } = api
  const client = createHttpClient(api.url)
  const announced = await announce(client, 7)
  const form = formOf(announced)
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The key in the form is not the key of an original.')
  await sendForm(form, new Uint8Array(7))
  const original = await createOriginals({ s3, bucket }).find(address)
  if (!original) throw new Error('S3 has no original.')
  const { arrival } = original
  const records = createUploadRecords({ redis, prefix })
  const stored = await records.update(address, (current) => {
    const received = recordArrival(current, arrival)
    return received && { ...received, state, ...(error && { error }) }
  })
  if (!stored) throw new Error('The upload has no record.')
  const { intent, findings, variants, createdAt, updatedAt } = stored.upload
  if (state === 'ready' || state === 'rejected' || state === 'failed') {
    await createManifests({ s3, bucket }).write(
      {
        version: 1,
        ...address,
        outcome: state,
        intent,
        arrival,
        recipe: 'x',
        findings,
        variants,
        createdAt,
        finishedAt: updatedAt,
      },
      undefined,
    )
  }
  return { client, address, path: `/uploads/${address.id}/reprocess`, records }
}

async function jobsOf(id: string) {
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  const jobs = await queue.getJobs()
  await queue.close()
  return jobs.filter((job) => job.data.id === id)
}

const countJobs = async (id: string) => (await jobsOf(id)).length

function assertProblem({ status, body }: HttpResponse, expected: [status: number, code: string]) {
  const code = typeof body === 'object' && body && 'code' in body ? body.code : undefined
  assert.equal([status, code], expected)
}

const failure = { code: 'processing_failed', message: 'x' }

test('a failed upload is received again, without its error, and has one job', async () => {
  const { client, address, path } = await sendFile('failed', failure)
  const response = await client.post(path, {})
  assert.is(response.status, 202)
  const upload = bodyOf(response, UploadView)
  assert.equal([upload.state, upload.preset, upload.error], ['received', 'default', undefined])
  assert.is(await countJobs(address.id), 1)
})

test('the job of a reprocess starts after the jobs of all new uploads', async () => {
  const { client, address, path } = await sendFile('failed', failure)
  await client.post(path, {})
  const { s3, bucket, redis, prefix } = api
  const fresh = await sendFile('received')
  const queue = createUploadQueue({ redis, prefix })
  const { receiveUpload } = createTestLifecycle({ redis, prefix, s3, bucket, queue })
  await receiveUpload(fresh.address)
  await queue.close()
  const [old] = await jobsOf(address.id)
  const [next] = await jobsOf(fresh.address.id)
  assert.ok(old && next && old.priority > next.priority)
})

test('a reprocess is refused while very many uploads wait to be processed again', async () => {
  const limited = await startApiInstances({ environment: { MAX_QUEUED_JOBS: '2' } })
  const { redis, prefix } = limited
  try {
    const client = createHttpClient(limited.url)
    const { id } = await announce(client, 7)
    const queue = createUploadQueue({ redis, prefix })
    const job = () => ({ owner: 's-other', id: newUploadId(), etag: 'e' })
    for (let i = 0; i < 2; i++) await queue.add(job(), { isBackfill: true })
    const response = await client.post(`/uploads/${id}/reprocess`, {})
    assertProblem(response, [503, 'overloaded'])
    assert.is(response.headers.get('retry-after'), '60')
    await queue.close()
  } finally {
    await limited.close()
  }
})

test('a repeated request for a reprocess changes nothing and adds no second job', async () => {
  const { client, address, path } = await sendFile('ready')
  const first = await client.post(path, { preset: 'plain' })
  const second = await client.post(path, { preset: 'plain' })
  assert.equal([second.status, second.body], [202, first.body])
  assert.is(await countJobs(address.id), 1)
  assertProblem(await client.post(path, { preset: 'default' }), [409, 'upload_not_finished'])
})

test('a repeated request for a reprocess adds the job that an interrupted request did not add', async () => {
  const { client, address, path, records } = await sendFile('failed', failure)
  await records.update(address, ({ error: _, ...current }) => ({ ...current, state: 'received' }))
  assert.is((await client.post(path, {})).status, 202)
  assert.is(await countJobs(address.id), 1)
})

test('a finished upload is reprocessed with another preset, also without a body', async () => {
  const { client, address, path, records } = await sendFile('ready')
  assert.is(bodyOf(await client.post(path, { preset: 'plain' }), UploadView).preset, 'plain')
  await records.update(address, (current) => ({ ...current, state: 'ready' }))
  const again = bodyOf(await client.request('POST', path), UploadView)
  assert.equal([again.state, again.preset], ['received', 'plain'])
})

test('a rejected upload is reprocessed only while S3 has its bytes', async () => {
  const { client, address, path } = await sendFile('rejected', { code: 'type_not_allowed', message: 'x' })
  assert.is((await client.post(path, {})).status, 202)
  const other = await sendFile('rejected', { code: 'type_not_allowed', message: 'x' })
  const Key = originalKey(other.address)
  await api.s3.send(new DeleteObjectCommand({ Bucket: api.bucket, Key }))
  assertProblem(await other.client.post(other.path, {}), [409, 'original_missing'])
  assert.is((await readUpload(other.client, other.address.id)).state, 'rejected')
  assert.is(await countJobs(address.id), 1)
})

test('reprocess refuses an upload that is not finished', async () => {
  for (const state of ['received', 'processing'] as const) {
    const { client, address, path } = await sendFile(state)
    assertProblem(await client.post(path, {}), [409, 'upload_not_finished'])
    assert.is(await countJobs(address.id), 0)
  }
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 7)
  assertProblem(await client.post(`/uploads/${id}/reprocess`, {}), [409, 'upload_not_finished'])
})

test('reprocess refuses an upload whose bytes were replaced', async () => {
  const { client, path, records, address } = await sendFile('ready')
  await records.update(address, (current) => ({ ...current, arrival: { etag: 'other', size: 7 } }))
  assertProblem(await client.post(path, {}), [409, 'conflict'])
})

test('reprocess refuses unknown presets and wrong bodies', async () => {
  const { client, address, path } = await sendFile('failed', failure)
  assertProblem(await client.post(path, { preset: 'nope' }), [400, 'preset_unknown'])
  for (const body of [{ preset: 1 }, { preset: '../x' }, { state: 'ready' }, [], 'x']) {
    assertProblem(await client.post(path, body), [400, 'invalid_request'])
  }
  assert.is((await readUpload(client, address.id)).state, 'failed')
})

test("reprocess of another owner's upload or of an erased upload responds with 404", async () => {
  const { client, address, path } = await sendFile('failed', failure)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  assertProblem(await stranger.post(path, {}), [404, 'upload_not_found'])
  assertProblem(await createHttpClient(api.url).post(path, {}), [404, 'upload_not_found'])
  await client.delete(`/uploads/${address.id}`)
  assertProblem(await client.post(path, {}), [404, 'upload_not_found'])
})

test.run()
