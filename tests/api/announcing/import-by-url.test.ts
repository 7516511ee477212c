import { PutObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('import by URL')
const url = 'https://files.example/holiday%20in%20rome.jpg?token=s3cret'
let api: ApiInstances
let queue: Queue

test.before(async () => {
  api = await startApiInstances({ environment: { QUOTA_BYTES_TOTAL: '1000', QUOTA_FILES_TOTAL: '4' } })
  queue = new Queue(importQueueName, { connection: api.redis, prefix: api.prefix })
})
test.after(async () => {
  await queue.close()
  await api.close()
})

async function createSessionClient(): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  await client.get('/session')
  return client
}

test('POST /uploads with sourceUrl adds a job with the trace and without the URL', async () => {
  const client = await createSessionClient()
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const response = await client.post('/uploads', { sourceUrl: url }, { headers: { traceparent } })
  const { id, state, transport, expiresAt } = bodyOf(response, Announced)
  assert.equal([response.status, response.headers.get('location')], [201, `/uploads/${id}`])
  assert.equal([state, transport], ['awaiting', { kind: 'import' }])
  assert.ok(Date.parse(expiresAt ?? '') > Date.now())
  const job = await queue.getJob(id)
  assert.equal(
    [job?.name, job?.data.id, job?.data.version, job?.data.traceparent],
    ['import-upload', id, 1, traceparent],
  )
  assert.not.match(JSON.stringify(job?.data), 's3cret')

  const view = await client.get(`/uploads/${id}`)
  const { filename, size, contentType } = bodyOf(view, UploadView)
  assert.equal([filename, size, contentType], ['holiday in rome.jpg', 0, 'application/octet-stream'])
  const page = await client.get('/uploads')
  assert.is(bodyOf(page, UploadPage).uploads.length, 1)
  assert.not.match(JSON.stringify([response.body, view.body, page.body]), 's3cret')
  assert.is((await (await createSessionClient()).get(`/uploads/${id}`)).status, 404)
  assert.is((await client.post(`/uploads/${id}/parts`, { partNumbers: [1] })).status, 409)

  assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  assert.is(await queue.getJob(id), undefined)
})

test('an import may announce an empty file', async () => {
  const client = await createSessionClient()
  const response = await client.post('/uploads', { sourceUrl: url, size: 0 })
  assert.is(response.status, 201)
  assert.is((await client.post('/uploads', { sourceUrl: url, size: -1 })).status, 400)
})

test('repeated import requests with one Idempotency-Key create one import', async () => {
  const client = await createSessionClient()
  const headers = { 'idempotency-key': 'once' }
  const startImport = (body: object) => client.post('/uploads', body, { headers })
  const first = await startImport({ sourceUrl: url, filename: 'a.jpg' })
  const again = await startImport({ filename: 'a.jpg', sourceUrl: url })
  assert.is(bodyOf(again, Announced).id, bodyOf(first, Announced).id)
  assert.is((await startImport({ sourceUrl: `${url}2`, filename: 'a.jpg' })).status, 422)
})

test('an import that is requested again is added once', async () => {
  const client = await createSessionClient()
  const startImport = () =>
    client.post('/uploads', { sourceUrl: url }, { headers: { 'idempotency-key': 'died' } })
  const { id } = bodyOf(await startImport(), Announced)
  const jobs = await queue.getJobCountByTypes('waiting')
  const repeated = bodyOf(await startImport(), Announced)
  assert.equal([repeated.id, repeated.state, repeated.transport], [id, 'awaiting', { kind: 'import' }])
  assert.is(await queue.getJobCountByTypes('waiting'), jobs)

  // A worker imports the file meanwhile.
  const [record] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  const owner = /\{(.+)\}/.exec(record ?? '')?.[1] ?? ''
  await api.s3.send(
    new PutObjectCommand({ Bucket: api.bucket, Key: originalKey({ owner, id }), Body: 'the file' }),
  )
  const late = await startImport()
  assert.is(late.status, 201)
  assert.equal(late.body, { id, state: 'received', transport: { kind: 'import' } })
  assert.is(await queue.getJobCountByTypes('waiting'), jobs)
})

test('POST /uploads names the invalid fields of an import or of an announcement', async () => {
  const client = await createSessionClient()
  const cases: [body: unknown, fields: string[]][] = [
    [{ sourceUrl: 7 }, ['sourceUrl']],
    [{ sourceUrl: url, filename: '', size: -1 }, ['filename', 'size']],
    [{ sourceUrl: url, sha: 'x' }, ['sha']],
    [{ sourceUrl: `https://files.example/${'x'.repeat(4100)}` }, ['sourceUrl']],
    [{ sourceUrl: `https://files.example/${'ü'.repeat(1000)}` }, ['sourceUrl']],
    [{ sourceUrl: '' }, ['sourceUrl']],
    [{ sourceUrl: '/files/x' }, ['sourceUrl']],
    [{ sourceUrl: 'file:///etc/passwd' }, ['sourceUrl']],
    [{ sourceUrl: 'ftp://files.example/x' }, ['sourceUrl']],
    [{ sourceUrl: 'https://user:pass@files.example/x' }, ['sourceUrl']],
    [{ sourceUrl: 'https://files.example:22/x' }, ['sourceUrl']],
    [{ sourceUrl: url, preset: 'none' }, ['preset']],
    [
      { sourceUrl: url, filename: 'ä'.repeat(255), metadata: { a: 'ä'.repeat(256), b: 'ä'.repeat(256) } },
      ['metadata'],
    ],
    [{}, ['filename', 'size']],
    [{ filename: 'x', contentType: 'a/b', size: 'x' }, ['size']],
    [[], ['body']],
    ['x', ['body']],
  ]
  for (const [body, fields] of cases) {
    const response = await client.post('/uploads', body)
    const { status, errors } = bodyOf(response, Problem)
    assert.equal([status, errors?.map(({ field }) => field)], [400, fields], JSON.stringify(body))
    assert.not.match(JSON.stringify(response.body), /s3cret|passwd|pass@/)
  }
})

test('an import whose URL is too long once it is percent-encoded is refused with the limit', async () => {
  const client = await createSessionClient()
  const long = (characters: number) => ({ sourceUrl: `https://files.example/${'ü'.repeat(characters)}` })
  const refused = bodyOf(await client.post('/uploads', long(1000)), Problem)
  assert.equal([refused.status, refused.code, refused.limit], [400, 'invalid_request', 4096])
  assert.is((await client.post('/uploads', long(600))).status, 201)
})

test('quota counts the announced size and number of imports', async () => {
  const client = await createSessionClient()
  const tooLarge = await client.post('/uploads', { sourceUrl: url, size: 1001 })
  assert.equal([tooLarge.status, bodyOf(tooLarge, Problem).code], [413, 'quota_exceeded'])
  for (let file = 0; file < 4; file++) {
    assert.is((await client.post('/uploads', { sourceUrl: url })).status, 201)
  }
  assert.is((await client.post('/uploads', { sourceUrl: url })).status, 413)
})

test.run()
