import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { EraseResults, ReprocessResults } from '@millrace/api/uploads/bulk-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { erasureKey, originalKey, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('many uploads at once')
let api: ApiInstances
let proxy: S3Proxy
let closeClients: () => void
let client: HttpClient
let lifecycle: ReturnType<typeof createTestLifecycle>

test.before(async () => {
  api = await startApiInstances({
    environment: { RATE_LIMIT_PER_MINUTE: '100000', MAX_QUEUED_JOBS: '100' },
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      const s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      closeClients = () => [s3, streamingS3].map((each) => each.destroy())
      return { s3, streamingS3 }
    },
  })
  lifecycle = createTestLifecycle(api)
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  await client.get('/session')
  proxy.intercept(() => 'pass')
})
test.after(async () => {
  closeClients()
  await api.close()
  await proxy.close()
})

/** Sends a file, and finishes it as a worker does. @param recipe of the manifest; outdated by default */
async function finished(
  outcome: Manifest['outcome'] = 'ready',
  { recipe = 'old', filename = 'a.jpg' } = {},
): Promise<UploadAddress> {
  const form = formOf(await announce(client, 7, { filename }))
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The key in the form is not the key of an original.')
  await sendForm(form, new Uint8Array(7))
  const received = await lifecycle.receiveUpload(address)
  if (!received?.upload.arrival) throw new Error('The file did not arrive.')
  const { intent, arrival, createdAt, updatedAt } = received.upload
  const manifest = {
    version: 1 as const,
    ...address,
    outcome,
    intent,
    arrival,
    recipe,
    findings: {},
    variants: [],
    ...(outcome === 'failed' && { error: { code: 'processing_failed', message: 'It failed.' } }),
    createdAt,
    finishedAt: updatedAt,
  }
  await lifecycle.manifests.write(manifest, undefined)
  await lifecycle.checkUpload(address)
  await clearJobs()
  return address
}

async function clearJobs(): Promise<void> {
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  await queue.drain(true)
  await queue.close()
}

async function jobIds(): Promise<string[]> {
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  const jobs = await queue.getJobs()
  await queue.close()
  return jobs.map(({ data }) => String(data.id)).toSorted()
}

async function reprocess(json: unknown, from = client) {
  const { results, nextCursor } = bodyOf(await from.post('/uploads/reprocess', json), ReprocessResults)
  const outcomes = results.map(({ id, outcome, error }) => [id, error?.code ?? outcome])
  return { outcomes, nextCursor }
}
async function erase(ids: string[], from = client) {
  const { results } = bodyOf(await from.post('/uploads/delete', { ids }), EraseResults)
  return results.map(({ id, outcome, error }) => [id, error?.code ?? outcome])
}

test('reprocessing by ids tells of each upload what happens to it, and serves it until then', async () => {
  const outdated = await finished()
  const failed = await finished('failed', { recipe: recipeVersion(defaultPreset) })
  const current = await finished('ready', { recipe: recipeVersion(defaultPreset) })
  const missing = await finished()
  await api.s3.send(new DeleteObjectCommand({ Bucket: api.bucket, Key: originalKey(missing) }))
  const { id: awaiting } = await announce(client, 7)
  const unknown = newUploadId()
  const ids = [outdated.id, failed.id, current.id, missing.id, awaiting, unknown, 'x', outdated.id]
  const expected = [
    [outdated.id, 'accepted'],
    [failed.id, 'accepted'],
    [current.id, 'up_to_date'],
    [missing.id, 'original_missing'],
    [awaiting, 'upload_not_finished'],
    [unknown, 'upload_not_found'],
    ['x', 'upload_not_found'],
  ]
  assert.equal((await reprocess({ ids })).outcomes, expected)
  assert.equal(await jobIds(), [outdated.id, failed.id].toSorted())
  assert.equal((await reprocess({ ids })).outcomes, expected, 'again')
  assert.equal(await jobIds(), [outdated.id, failed.id].toSorted(), 'no second job')
  assert.is((await readUpload(client, outdated.id)).state, 'ready')
  await clearJobs()
})

test('reprocessing by a filter takes page by page, and the cursor continues', async () => {
  const addresses: UploadAddress[] = []
  for (let n = 0; n < 5; n++) addresses.push(await finished('failed', { filename: `b${n}.jpg` }))
  await finished('failed', { filename: 'other.jpg' })
  const seen: unknown[] = []
  let cursor: string | undefined
  do {
    const page = await reprocess({
      filter: { prefix: 'b', state: ['failed'] },
      order: 'oldest',
      limit: 2,
      ...(cursor && { cursor }),
    })
    assert.ok(page.outcomes.length <= 2)
    seen.push(...page.outcomes)
    cursor = page.nextCursor
  } while (cursor)
  assert.equal(
    seen,
    addresses.map(({ id }) => [id, 'accepted']),
  )
  assert.equal(await jobIds(), addresses.map(({ id }) => id).toSorted())
  await clearJobs()
})

test("another owner's ids are not found, and nothing changes", async () => {
  const address = await finished()
  const other = createHttpClient(api.url)
  await other.get('/session')
  for (const each of [other, createHttpClient(api.url)]) {
    assert.equal((await reprocess({ ids: [address.id] }, each)).outcomes, [[address.id, 'upload_not_found']])
    assert.equal((await reprocess({ filter: {} }, each)).outcomes, [])
    assert.equal(await erase([address.id], each), [[address.id, 'not_found']])
  }
  assert.equal(await jobIds(), [])
  assert.is((await readUpload(client, address.id)).state, 'ready')
  assert.not.ok(await lifecycle.erasures.isMarked(address))
})

test('deleting many erases each as a single delete does, and tells which were not found', async () => {
  const [one, two] = [await finished(), await finished('failed')]
  const { id: awaiting } = await announce(client, 7)
  const unknown = newUploadId()
  const expected = [
    [one.id, 'deleted'],
    [two.id, 'deleted'],
    [awaiting, 'deleted'],
    [unknown, 'not_found'],
    ['x', 'not_found'],
  ]
  assert.equal(await erase([one.id, two.id, awaiting, unknown, 'x', one.id]), expected)
  for (const address of [one, two]) {
    assert.ok(await lifecycle.erasures.isMarked(address))
    assert.is(await lifecycle.originals.find(address), undefined)
    assert.is(await lifecycle.manifests.read(address), undefined)
  }
  assert.equal(bodyOf(await client.get('/uploads'), UploadPage).uploads, [])
  assert.equal(await erase([one.id, two.id, awaiting, unknown, 'x']), expected, 'again')
})

test('a failure of one upload is told, and the others are deleted', async () => {
  const [one, two] = [await finished(), await finished()]
  proxy.intercept(({ path, method }) =>
    method === 'PUT' && path.includes(erasureKey(one)) ? 'refuse' : 'pass',
  )
  assert.equal(await erase([one.id, two.id]), [
    [one.id, 'dependency_unavailable'],
    [two.id, 'deleted'],
  ])
  assert.is((await readUpload(client, one.id)).state, 'ready')
  proxy.intercept(() => 'pass')
  assert.equal(await erase([one.id, two.id]), [
    [one.id, 'deleted'],
    [two.id, 'deleted'],
  ])
})

test('an owner has one request for many uploads at a time', async () => {
  const { id } = await finished()
  const held = proxy.hold(({ path, method }) => method === 'PUT' && path.includes('/erasures/'))
  const first = erase([id])
  await held.arrived
  const response = await client.post('/uploads/delete', { ids: [id] })
  assert.equal([response.status, bodyOf(response, Problem).code], [429, 'rate_limited'])
  held.release()
  assert.equal(await first, [[id, 'deleted']])
})

test('while too many uploads wait to be processed again, the request is refused', async () => {
  const { id } = await finished()
  const queue = createUploadQueue({ redis: api.redis, prefix: api.prefix })
  for (let n = 0; n < 100; n++) {
    await queue.add({ owner: 's-x', id: newUploadId(), etag: 'x' }, { isBackfill: true })
  }
  await queue.close()
  const response = await client.post('/uploads/reprocess', { ids: [id] })
  assert.equal([response.status, response.headers.get('retry-after')], [503, '60'])
  await clearJobs()
})

for (const [path, json] of [
  ['reprocess', {}],
  ['reprocess', { ids: [] }],
  ['reprocess', { ids: Array.from({ length: 1001 }, (_, n) => `${n}`) }],
  ['reprocess', { ids: ['x'], filter: {} }],
  ['reprocess', { filter: { user: 'x' } }],
  ['reprocess', { filter: { state: ['gone'] } }],
  ['reprocess', { filter: {}, limit: 201 }],
  ['reprocess', { filter: { from: 'x' } }],
  ['delete', { filter: {} }],
  ['delete', { ids: [1] }],
  ['delete', { ids: 'x' }],
] as const) {
  test(`POST /uploads/${path} refuses ${JSON.stringify(json).slice(0, 40)}`, async () => {
    assert.is((await client.post(`/uploads/${path}`, json)).status, 400)
  })
}

test('1,000 ids fit into a request', async () => {
  const ids = Array.from({ length: 1000 }, (_, n) => `${n}-${newUploadId().slice(0, 30)}`)
  const results = await erase(ids)
  assert.equal([results.length, new Set(results.map(([, outcome]) => outcome)).size], [1000, 1])
})

test.run()
