import { ReceiveMessageCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs'
import { DeadLetterList, RedriveResponse } from '@millrace/api/admin/dead-letter-routes.ts'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('dead-letter routes')
const admin = newApiKey('ops', ['admin'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write', 'tenant'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    environment: { API_KEYS: [admin, writer].map(({ entry }) => entry).join(',') },
  })
})
test.after(() => api.close())

const bearer = ({ key }: { key: string }) => ({ headers: { authorization: `Bearer ${key}` } })
const deadLetterQueue = () => api.environment.DEAD_LETTER_QUEUE_URL

const eventOf = (key: string) =>
  JSON.stringify({
    Records: [{ eventName: 'ObjectCreated:Put', s3: { bucket: { name: api.bucket }, object: { key } } }],
  })

/** Sends messages to the dead-letter queue. @returns their ids */
async function send(bodies: string[]): Promise<string[]> {
  const { Successful = [] } = await api.sqs.send(
    new SendMessageBatchCommand({
      QueueUrl: deadLetterQueue(),
      Entries: bodies.map((MessageBody, i) => ({ Id: String(i), MessageBody })),
    }),
  )
  return Successful.map(({ MessageId = '' }) => MessageId)
}

test('an operator sees what dead letters are about and why they failed, and sends them again', async () => {
  const client = createHttpClient(api.url)
  const list = async (query = '') =>
    bodyOf(await client.get(`/admin/dead-letters${query}`, bearer(admin)), DeadLetterList)
  assert.equal(await list(), { count: 0, hidden: 0, messages: [] })

  const uploader = createHttpClient(api.url)
  const { id } = await announce(uploader, 7)
  const [owner = ''] = await api.redis
    .keys(`${api.prefix}:*${id}*`)
    .then((keys) => keys.flatMap((key) => /(s-[^:{}/]+)/.exec(key)?.[1] ?? []))
  const lost = newUploadId()
  const bodies = [
    eventOf(`originals/${owner}/${id}`),
    eventOf(`erasures/acme/${lost}`),
    eventOf('elsewhere/x'),
    `not an event ${'x'.repeat(1_000)}`,
  ]
  const ids = await send(bodies)
  await createArrivalFailures(api).record(ids[0] ?? '', new TypeError('details'))

  const { count, hidden, messages } = await list()
  assert.equal([count, hidden], [4, 0])
  const byId = new Map(messages.map((message) => [message.id, message]))
  const [first, second, third, fourth] = ids.map((messageId) => byId.get(messageId))
  assert.equal(first?.objects, [
    { key: `originals/${owner}/${id}`, kind: 'original', owner, uploadId: id, state: 'awaiting' },
  ])
  assert.is(first?.reason?.code, 'TypeError')
  assert.is(first?.receivedCount, 1)
  assert.equal(second?.objects, [
    { key: `erasures/acme/${lost}`, kind: 'erasure', owner: 'acme', uploadId: lost },
  ])
  assert.is(second?.reason, undefined)
  assert.equal(third?.objects, [{ key: 'elsewhere/x', kind: 'other' }])
  assert.is(fourth?.objects, undefined)
  assert.is(fourth?.excerpt?.length, 300)
  assert.is((await list('?limit=2')).messages.length, 2)

  const redrive = async (body?: object) =>
    bodyOf(
      await client.request('POST', '/admin/dead-letters/redrive', {
        ...bearer(admin),
        ...(body && { json: body }),
      }),
      RedriveResponse,
    )
  assert.equal(await redrive({ limit: 1 }), { moved: 1, count: 3, hidden: 0 })
  assert.equal(await redrive(), { moved: 3, count: 0, hidden: 0 })
  assert.equal(await redrive({}), { moved: 0, count: 0, hidden: 0 })
  const { Messages = [] } = await api.sqs.send(
    new ReceiveMessageCommand({ QueueUrl: api.environment.EVENTS_QUEUE_URL, MaxNumberOfMessages: 10 }),
  )
  const received = Messages.map(({ Body = '' }) => Body).filter((body) => !body.includes('s3:TestEvent'))
  assert.equal(received.toSorted(), bodies.toSorted())
})

test('only the scope admin reads and redrives dead letters', async () => {
  const client = createHttpClient(api.url)
  for (const [method, path] of [
    ['GET', '/admin/dead-letters'],
    ['POST', '/admin/dead-letters/redrive'],
  ] as const) {
    assert.is((await client.request(method, path)).status, 401, path)
    assert.is((await client.request(method, path, bearer(writer))).status, 403, path)
  }
})

test('pages of other sites, wrong limits and a server that does not know the queue are refused', async () => {
  const open = await startApiInstances({ environment: { OPEN_ADMIN: 'true', DEAD_LETTER_QUEUE_URL: '' } })
  const visitor = createHttpClient(open.url)
  const headers = { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' }
  for (const response of [
    await visitor.get('/admin/dead-letters', { headers }),
    await visitor.post('/admin/dead-letters/redrive', {}, { headers }),
  ]) {
    assert.is(bodyOf(response, Problem).code, 'cross_site')
  }
  for (const limit of [0, 101, 'x'])
    assert.is((await visitor.get(`/admin/dead-letters?limit=${limit}`)).status, 400)
  assert.is((await visitor.post('/admin/dead-letters/redrive', { limit: 1_001 })).status, 400)
  const response = await visitor.get('/admin/dead-letters')
  assert.is(response.status, 501)
  assert.equal(
    [bodyOf(response, Problem).code, bodyOf(response, Problem).detail],
    ['not_configured', 'DEAD_LETTER_QUEUE_URL is not set on this server.'],
  )
  await open.close()
})

test.run()
