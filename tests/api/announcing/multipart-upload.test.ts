import { once } from 'node:events'
import { request } from 'node:http'
import { UploadPartCommand } from '@aws-sdk/client-s3'
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { Problem } from '@millrace/api/requests/problem.ts'
import { SentParts, SignedParts } from '@millrace/api/uploads/part-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import { Queue } from 'bullmq'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, readUpload, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload in parts')
const MiB = 1024 ** 2
/** Three parts of 8 MiB or less. */
const size = 16 * MiB + 5
const lastBytes = 5
const bytes = distinctBytes(size)
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2 })
})
test.after(() => api.close())

function part(partNumber: number, partSize: number): Uint8Array<ArrayBuffer> {
  return bytes.subarray((partNumber - 1) * partSize, partNumber * partSize)
}

/** Announces the file and sends all its parts concurrently. */
async function sendAllParts(client: HttpClient) {
  const announced = await announce(client, size)
  const { partSize, parts } = multipartOf(announced)
  const claimed = await Promise.all(
    parts.map(async ({ partNumber, url }) => ({
      partNumber,
      etag: await sendPart(url, part(partNumber, partSize)),
    })),
  )
  return { announced, claimed }
}

/** Sends the headers of a part. S3 decides by them before it reads a byte. @returns the status of its response */
async function statusOfSize(url: string, partBytes: number): Promise<number | undefined> {
  const sending = request(url, { method: 'PUT', headers: { 'content-length': partBytes } })
  sending.flushHeaders()
  const [response] = await once(sending, 'response')
  sending.destroy()
  return response.statusCode
}

/** Stores a part of any size, as a URL signed by an earlier version allows. @returns its etag */
async function storePart(url: string, body: Uint8Array): Promise<string> {
  const { pathname, searchParams } = new URL(url)
  const [, Bucket, ...key] = pathname.split('/')
  const { ETag = '' } = await api.s3.send(
    new UploadPartCommand({
      Bucket,
      Key: key.join('/'),
      UploadId: searchParams.get('uploadId') ?? '',
      PartNumber: Number(searchParams.get('partNumber')),
      Body: body,
    }),
  )
  return ETag
}

async function jobsOf(id: string) {
  const queue = new Queue('uploads', { connection: api.redis, prefix: api.prefix })
  const jobs = (await queue.getJobs()).filter((job) => job.data.id === id)
  await queue.close()
  return jobs
}

test('an upload whose parts were sent in any order is completed once and gets one job', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size)
  const { partSize, partCount, parts } = multipartOf(announced)
  assert.equal([partSize, partCount, parts.length], [8 * MiB, 3, 3])
  const etags = new Map<number, string>()
  for (const { partNumber, url } of parts.toReversed()) {
    etags.set(partNumber, await sendPart(url, part(partNumber, partSize)))
  }
  const path = `/uploads/${announced.id}`
  const sent = bodyOf(await client.get(`${path}/parts`), SentParts).parts
  assert.equal(
    sent.map((sentPart) => [sentPart.partNumber, sentPart.size]),
    [
      [1, 8 * MiB],
      [2, 8 * MiB],
      [3, lastBytes],
    ],
  )
  const body = { parts: [...etags].map(([partNumber, etag]) => ({ partNumber, etag })) }
  const completed = await client.post(`${path}/complete`, body)
  assert.is(completed.status, 202)
  assert.is(bodyOf(completed, UploadView).state, 'received')
  const [job, ...otherJobs] = await jobsOf(announced.id)
  assert.equal(otherJobs, [])
  assert.is(job?.name, 'process-upload')
  assert.ok(Compile(ProcessUploadJob).Check(job?.data), JSON.stringify(job?.data))

  const again = await client.post(`${path}/complete`, body)
  assert.is(again.status, 202)
  assert.is((await jobsOf(announced.id)).length, 1)
  assert.is(bodyOf(await client.get(`${path}/parts`), Problem).code, 'upload_closed')
  assert.is(bodyOf(await client.post(`${path}/parts`, { partNumbers: [1] }), Problem).code, 'upload_closed')
})

/** Completes one upload four times at once, at two instances. */
async function completeConcurrently() {
  const client = createHttpClient(api.url)
  const { announced, claimed } = await sendAllParts(client)
  const responses = await Promise.all(
    [...api.urls, ...api.urls].map((base) =>
      client.post(`/uploads/${announced.id}/complete`, { parts: claimed }, { base }),
    ),
  )
  return { announced, responses }
}
let completing: ReturnType<typeof completeConcurrently> | undefined
/** The upload of two tests. */
const completedConcurrently = () => (completing ??= completeConcurrently())

test('S3 sends an event for a completed multipart upload', async () => {
  const { announced } = await completedConcurrently()
  for (;;) {
    const { Messages = [] } = await api.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: api.environment.EVENTS_QUEUE_URL,
        WaitTimeSeconds: 20,
        MaxNumberOfMessages: 10,
      }),
    )
    if (Messages.some(({ Body }) => Body?.includes(announced.id))) break
  }
})

test('concurrent requests to complete an upload at two instances add one job', async () => {
  const { announced, responses } = await completedConcurrently()
  assert.equal(
    responses.map(({ status }) => status),
    [202, 202, 202, 202],
  )
  assert.is((await jobsOf(announced.id)).length, 1)
})

test('any instance signs parts again for a client that resumes', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size)
  const { partSize } = multipartOf(announced)
  const base = api.urls[1] ?? ''
  const response = await client.post(`/uploads/${announced.id}/parts`, { partNumbers: [3, 1] }, { base })
  const { parts } = bodyOf(response, SignedParts)
  assert.equal(
    parts.map(({ partNumber }) => partNumber),
    [3, 1],
  )
  for (const { partNumber, url } of parts) await sendPart(url, part(partNumber, partSize))
  const sent = bodyOf(await client.get(`/uploads/${announced.id}/parts`, { base }), SentParts).parts
  assert.equal(
    sent.map(({ partNumber }) => partNumber),
    [1, 3],
  )
})

test("a part's URL accepts exactly the part's size, also that of the last part and after it is signed again", async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size)
  const { parts } = multipartOf(announced)
  const again = await client.post(`/uploads/${announced.id}/parts`, { partNumbers: [1, 2, 3] })
  const urls = [...parts, ...bodyOf(again, SignedParts).parts]
  assert.is(urls.length, 6)
  for (const { partNumber, url } of urls) {
    const expected = partNumber === 3 ? lastBytes : 8 * MiB
    for (const wrong of [expected + 1, expected - 1]) {
      assert.is(await statusOfSize(url, wrong), 403, `part ${partNumber} with ${wrong} bytes`)
    }
  }
  assert.is(await statusOfSize(urls[0]?.url ?? '', 64 * MiB), 403)
  assert.equal(bodyOf(await client.get(`/uploads/${announced.id}/parts`), SentParts).parts, [])
  await sendPart(urls[2]?.url ?? '', new Uint8Array(lastBytes))
  await sendPart(urls[3]?.url ?? '', new Uint8Array(8 * MiB))
})

test('an upload is not completed while a part in S3 is missing, short or changed', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size)
  const { partSize, parts } = multipartOf(announced)
  const path = `/uploads/${announced.id}/complete`
  const claimed: { partNumber: number; etag: string }[] = []
  for (const { partNumber, url } of parts.slice(0, 2)) {
    claimed.push({ partNumber, etag: await sendPart(url, part(partNumber, partSize)) })
  }
  const missing = bodyOf(await client.post(path, { parts: claimed }), Problem)
  assert.is(missing.code, 'parts_mismatch')
  assert.match(missing.detail, /part 3 is missing/)

  const thirdUrl = parts[2]?.url ?? ''
  claimed.push({ partNumber: 3, etag: await storePart(thirdUrl, new Uint8Array(9)) })
  const short = bodyOf(await client.post(path, { parts: claimed }), Problem)
  assert.match(short.detail, /part 3 has 9 bytes, not 5/)

  const etag = await sendPart(thirdUrl, part(3, partSize))
  const stale = bodyOf(await client.post(path, { parts: claimed }), Problem)
  assert.match(stale.detail, /part 3 has a different etag/)

  claimed[2] = { partNumber: 3, etag }
  assert.is((await client.post(path, { parts: claimed })).status, 202)
})

test('part routes refuse invalid bodies and part numbers that the file does not have', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, size)
  const cases: [string, unknown, string][] = [
    ['parts', { partNumbers: [4] }, 'partNumbers'],
    ['parts', { partNumbers: [0] }, 'partNumbers.0'],
    ['parts', { partNumbers: [] }, 'partNumbers'],
    ['parts', { partNumbers: [1, 1] }, 'partNumbers'],
    ['parts', { partNumbers: Array.from({ length: 101 }, (_, n) => n + 1) }, 'partNumbers'],
    ['parts', {}, 'partNumbers'],
    ['complete', {}, 'parts'],
    ['complete', { parts: [] }, 'parts'],
    ['complete', { parts: [{ partNumber: 1 }] }, 'parts.0.etag'],
    ['complete', { parts: [{ partNumber: 1, etag: 'x', size: 3 }] }, 'parts.0.size'],
  ]
  for (const [action, body, field] of cases) {
    const response = await client.post(`/uploads/${id}/${action}`, body)
    assert.is(response.status, 400, JSON.stringify(body))
    assert.is(bodyOf(response, Problem).errors?.[0]?.field, field)
  }
})

test('part routes refuse an upload that is sent as a form', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 8 * MiB)
  formOf(announced)
  const path = `/uploads/${announced.id}`
  const responses = [
    await client.get(`${path}/parts`),
    await client.post(`${path}/parts`, { partNumbers: [1] }),
    await client.post(`${path}/complete`, { parts: [{ partNumber: 1, etag: 'x' }] }),
  ]
  for (const response of responses) {
    assert.is(response.status, 409)
    assert.is(bodyOf(response, Problem).code, 'upload_not_multipart')
  }
  multipartOf(await announce(client, 8 * MiB + 1))
})

test("part routes return 404 for another owner's upload", async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const { id } = await announce(client, size)
  const responses = [
    await stranger.get(`/uploads/${id}/parts`),
    await stranger.post(`/uploads/${id}/parts`, { partNumbers: [1] }),
    await stranger.post(`/uploads/${id}/complete`, { parts: [{ partNumber: 1, etag: 'x' }] }),
  ]
  assert.equal(
    responses.map(({ status }) => status),
    [404, 404, 404],
  )
  assert.is((await readUpload(client, id)).state, 'awaiting')
})

test.run()
