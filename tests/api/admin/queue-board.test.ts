import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { connectBlockingRedis } from '@millrace/shared/connections/connections.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { createUploadQueue, processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { type Job, Worker } from 'bullmq'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('queue board')
const admin = newApiKey('ops', ['admin'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write', 'tenant'])
const authorized = { headers: { authorization: `Bearer ${admin.key}` } }
let api: ApiInstances
let queue: ReturnType<typeof createUploadQueue>
const workers: { close(): Promise<void> }[] = []

const Queues = Type.Object({
  queues: Type.Array(
    Type.Object({
      name: Type.String(),
      isPaused: Type.Boolean(),
      counts: Type.Record(Type.String(), Type.Number()),
      jobs: Type.Array(Type.Object({ id: Type.String(), failedReason: Type.Optional(Type.String()) })),
    }),
  ),
})

test.before(async () => {
  api = await startApiInstances({
    environment: { API_KEYS: [admin, writer].map(({ entry }) => entry).join(',') },
  })
  queue = createUploadQueue(api)
})
test.after.each(async () => {
  for (const { close } of workers.splice(0)) await close()
})
test.after(async () => {
  await queue.close()
  await api.close()
})

const read = async (query: string) => {
  const { queues } = bodyOf(
    await createHttpClient(api.url).get(`/admin/queues/api/queues${query}`, authorized),
    Queues,
  )
  return new Map(queues.map((each) => [each.name, each]))
}
const put = (path: string, options = authorized) =>
  createHttpClient(api.url).request('PUT', `/admin/queues/api/queues${path}`, options)

/** Starts a worker as another instance has it. */
function work(run: (job: Job) => Promise<void>) {
  const connection = connectBlockingRedis(
    process.env['REDIS_URL'] ?? '',
    createLog({ level: 'silent', instance: 'test' }),
  )
  const worker = new Worker('uploads', run, { connection, prefix: api.prefix })
  const close = async () => {
    // Not by force: a worker that is fetching a job would keep it, and the next test would wait for it.
    await worker.close()
    connection.disconnect()
  }
  workers.push({ close })
  return worker
}

const newJob = () => ({ owner: 's-tester', id: newUploadId(), etag: 'e' })

test('the page loads nothing from other servers, and needs no inline script or style', async () => {
  const page = await createHttpClient(api.url).get('/admin/queues', authorized)
  const html = String(page.body)
  assert.is(page.status, 200)
  assert.match(html, '<base href="/admin/queues/" />')
  assert.not.match(html, /(?:src|href)="https?:|style=|<style/)
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, "default-src 'none'; script-src 'self'; style-src 'self'; ")
  assert.not.match(policy, /unsafe|https?:|\*/)
  assert.is(page.headers.get('cache-control'), 'no-store')
  const files = [...html.matchAll(/(?:src|href)="(static\/[^"]+\.(?:js|css))"/g)].map(([, file]) => file)
  assert.ok(files.length >= 2, html)
  for (const file of files) {
    const { status, headers } = await createHttpClient(api.url).get(`/admin/queues/${file}`, authorized)
    assert.equal([status, headers.get('cache-control')], [200, 'private, max-age=86400'], file)
  }
  for (const path of ['/static/none.js', '/elsewhere', '/api/queues/uploads/none'])
    assert.is(
      bodyOf(await createHttpClient(api.url).get(`/admin/queues${path}`, authorized), Problem).status,
      404,
      path,
    )
})

test('a paused queue starts no job on any instance until it is resumed', async () => {
  const done = Promise.withResolvers<string>()
  assert.is((await put('/uploads/pause')).status, 200)
  const job = newJob()
  await queue.add(job)
  const worker = work(async ({ data }) => done.resolve(data.id))
  await worker.waitUntilReady()
  assert.is(await worker.getNextJob('token', { block: false }), undefined)
  const uploads = (await read('')).get('uploads')
  assert.equal([uploads?.isPaused, uploads?.counts['prioritized']], [true, 1])
  assert.is(await queue.hasRoom(), true, 'jobs are still counted')
  assert.is((await queue.counts()).prioritized, 1)
  assert.is((await put('/uploads/resume')).status, 200)
  assert.is(await done.promise, job.id)
})

test('a failed job is retried, and its error shows no secrets', async () => {
  const job = newJob()
  const jobId = processUploadJobId(job)
  await queue.add(job)
  await api.redis.zrem(`${api.prefix}:uploads:prioritized`, jobId)
  const failedReason = 'no answer of https://user:password@example.com/?token=abc'
  await api.redis.hset(`${api.prefix}:uploads:${jobId}`, { atm: 5, failedReason, finishedOn: 1 })
  await api.redis.zadd(`${api.prefix}:uploads:failed`, 1, jobId)
  const failed = (await read('?activeQueue=uploads&status=failed')).get('uploads')
  assert.equal(
    failed?.jobs.map(({ id, failedReason: reason }) => [id, reason]),
    [[jobId, 'no answer of https://[scrubbed]@example.com/?[scrubbed]']],
  )
  const retried = Promise.withResolvers<string>()
  work(async ({ data }) => retried.resolve(data.id))
  assert.is((await put(`/uploads/${jobId}/retry`)).status, 204)
  assert.is(await retried.promise, job.id)
})

test('a delayed job is promoted', async () => {
  const job = newJob()
  const attempts: string[] = []
  const twice = Promise.withResolvers<void>()
  const delayed = Promise.withResolvers<void>()
  const worker = work(async (started) => {
    attempts.push(started.data.id)
    if (attempts.length === 2) return twice.resolve()
    // The next attempt is due in half a second to a second.
    throw new Error('not now')
  })
  worker.on('failed', () => delayed.resolve())
  await queue.add(job)
  await delayed.promise
  // It may be due already. Then there is nothing to promote.
  assert.ok([204, 409].includes((await put(`/uploads/${processUploadJobId(job)}/promote`)).status))
  await twice.promise
  assert.equal(attempts, [job.id, job.id])
})

test('other changes are refused: they would break what the service relies on', async () => {
  const imports = createImportQueue(api)
  const id = newUploadId()
  await imports.add({ owner: 's-tester', id })
  const client = createHttpClient(api.url)
  for (const path of [
    '/imports/empty',
    '/imports/obliterate',
    '/imports/clean/failed',
    '/imports/concurrency',
    '/imports/rate-limit',
    '/imports/retry/completed',
    `/imports/${id}/clean`,
    `/imports/..%2fuploads/pause`,
    '/imports/job-schedulers/x/run',
  ]) {
    assert.is(bodyOf(await put(path), Problem).code, 'forbidden', path)
  }
  for (const [method, path] of [
    ['POST', '/imports/add'],
    ['PATCH', `/imports/${id}/update-data`],
    ['PATCH', `/imports/${id}/priority`],
  ] as const) {
    const response = await client.request(method, `/admin/queues/api/queues${path}`, {
      ...authorized,
      json: {},
    })
    assert.is(response.status, 404, path)
  }
  assert.equal((await read('')).get('imports')?.counts['prioritized'], 1)
  await imports.close()
})

test('only the scope admin sees the board, and no page of another site', async () => {
  const client = createHttpClient(api.url)
  for (const path of ['/admin/queues', '/admin/queues/api/queues', '/admin/queues/static/favicon.ico']) {
    assert.is((await client.get(path)).status, 401, path)
    const withKey = { headers: { authorization: `Bearer ${writer.key}` } }
    assert.is((await client.get(path, withKey)).status, 403, path)
  }
  const open = await startApiInstances({ environment: { OPEN_ADMIN: 'true' } })
  const visitor = createHttpClient(open.url)
  assert.is((await visitor.get('/admin/queues')).status, 200)
  const headers = { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' }
  for (const response of [
    await visitor.get('/admin/queues', { headers }),
    await visitor.request('PUT', '/admin/queues/api/queues/pause', { headers }),
  ]) {
    assert.is(bodyOf(response, Problem).code, 'cross_site')
  }
  await open.close()
})

test.run()
