import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Delivery } from '@millrace/shared/webhooks/delivery-log.ts'
import { deliveryIdOf } from '@millrace/shared/webhooks/delivery-queue.ts'
import { Webhook as Verifier } from 'standardwebhooks'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { type Receiver, startReceiver } from '../../worker/support/receiver.ts'
import { startWebhookSender, type WebhookSender } from '../../worker/support/webhook-sender.ts'

const test = suite('delivery routes')
const acme = newApiKey('acme', ['tenant'])
const globex = newApiKey('globex', ['tenant'])
const uploader = newApiKey('acme', ['uploads:read', 'uploads:write'])
const Page = Type.Object({ deliveries: Type.Array(Delivery), nextCursor: Type.Optional(Type.String()) })
let api: ApiInstances
let client: ReturnType<typeof createHttpClient>
let sender: WebhookSender
let receiver: Receiver
/** Statuses of the receiver's next responses. Then it answers 204. */
const statuses: number[] = []

test.before(async () => {
  api = await startApiInstances({
    environment: { API_KEYS: [acme, globex, uploader].map(({ entry }) => entry).join(',') },
  })
  client = createHttpClient(api.url)
  sender = await startWebhookSender(api, { prefix: api.prefix, tenant: 'acme' })
  receiver = await startReceiver((_, response) => void response.writeHead(statuses.shift() ?? 204).end('ok'))
  await sender.start()
})
test.after(async () => {
  await sender.close()
  await receiver.close()
  await api.close()
})

function send(method: string, path: string, json?: unknown, { key }: { key: string } = acme) {
  return client.request(method, path, { json, headers: { authorization: `Bearer ${key}` } })
}

function assertProblem({ status, body }: HttpResponse, expected: [status: number, code: string]) {
  const code = typeof body === 'object' && body && 'code' in body ? body.code : undefined
  assert.equal([status, code], expected)
}

test('a test event is sent at once, signed, once, also by a disabled webhook', async () => {
  const webhook = await sender.hook(receiver.url, { enabled: false })
  const before = receiver.seen.length
  const response = await send('POST', `/webhooks/${webhook.id}/test`)
  assert.is(response.status, 202)
  const delivery = bodyOf(response, Delivery)
  assert.equal([delivery.kind, delivery.state, delivery.attempt], ['test', 'pending', 0])
  const { content, body, headers } = await receiver.received(before + 1)
  assert.equal([content.test, content.type, content.id], [true, 'upload.received', delivery.eventId])
  new Verifier(webhook.secrets[0]?.secret ?? '').verify(body, {
    'webhook-id': String(headers['webhook-id']),
    'webhook-timestamp': String(headers['webhook-timestamp']),
    'webhook-signature': String(headers['webhook-signature']),
  })
  await sender.logged(webhook.id, delivery.id, 'delivered')
  statuses.push(500)
  const failing = bodyOf(
    await send('POST', `/webhooks/${webhook.id}/test`, { type: 'upload.rejected' }),
    Delivery,
  )
  const failed = await sender.logged(webhook.id, failing.id, 'failed')
  assert.equal([failed.status, failed.excerpt, failed.nextAttemptAt], [500, 'ok', undefined])
  assert.is(receiver.seen[before + 1]?.content.type, 'upload.rejected')
  assert.is(receiver.seen.length, before + 2)
})

test('every type of test event has the form of an event', async () => {
  const webhook = await sender.hook(receiver.url)
  const before = receiver.seen.length
  for (const type of webhook.events) {
    assert.is((await send('POST', `/webhooks/${webhook.id}/test`, { type })).status, 202)
  }
  await receiver.received(before + webhook.events.length)
  const types = receiver.seen.slice(before).map(({ content }) => content.type)
  assert.equal(types.sort(), [...webhook.events].sort())
})

test('an event is replayed with its id, after it has left the outbox', async () => {
  const webhook = await sender.hook(receiver.url, { events: ['upload.ready'] })
  const event = await sender.happen('upload.ready')
  await sender.untilGone(event.upload.id)
  const id = deliveryIdOf(event.id, webhook.id)
  await sender.logged(webhook.id, id, 'delivered')
  const before = receiver.seen.length
  statuses.push(503)
  const response = await send('POST', `/webhooks/${webhook.id}/deliveries/${id}/replay`)
  assert.is(response.status, 202)
  const replay = bodyOf(response, Delivery)
  assert.equal([replay.kind, replay.eventId, replay.uploadId], ['replay', event.id, event.upload.id])
  const done = await sender.logged(webhook.id, replay.id, 'delivered')
  assert.is(done.attempt, 2, 'it is tried again')
  const again = receiver.seen.slice(before)
  assert.equal(
    again.map(({ headers }) => headers['webhook-id']),
    [event.id, event.id],
  )
  assert.equal(again[1]?.content, { id: event.id, type: event.type, timestamp: event.at, data: event.upload })
})

test('an upload that is erased leaves the log, and its event cannot be replayed', async () => {
  const webhook = await sender.hook(receiver.url, { events: ['upload.received'] })
  const event = await sender.happen('upload.received')
  await sender.untilGone(event.upload.id)
  const { id } = await sender.logged(webhook.id, deliveryIdOf(event.id, webhook.id), 'delivered')
  await createTestLifecycle(api).finishErasure({ owner: 'acme', id: event.upload.id })
  const entry = await sender.deliveryLog.find(webhook.id, id)
  assert.equal([entry?.state, entry?.content, entry?.excerpt], ['delivered', undefined, undefined])
  const path = `/webhooks/${webhook.id}/deliveries/${id}/replay`
  assertProblem(await send('POST', path), [404, 'delivery_not_found'])
})

test('deliveries are listed by pages, the newest first, without what was sent', async () => {
  const webhook = await sender.hook(receiver.url)
  const ids: string[] = []
  for (let i = 0; i < 3; i++) {
    const { id } = bodyOf(await send('POST', `/webhooks/${webhook.id}/test`), Delivery)
    ids.unshift(id)
    await sender.logged(webhook.id, id, 'delivered')
  }
  const path = `/webhooks/${webhook.id}/deliveries`
  const first = bodyOf(await send('GET', `${path}?limit=2`), Page)
  assert.equal(
    first.deliveries.map(({ id }) => id),
    ids.slice(0, 2),
  )
  assert.not.ok('content' in (first.deliveries[0] ?? {}))
  const second = bodyOf(await send('GET', `${path}?limit=2&cursor=${first.nextCursor}`), Page)
  assert.equal(
    second.deliveries.map(({ id }) => id),
    ids.slice(2),
  )
  assert.is(second.nextCursor, undefined)
  assertProblem(await send('GET', `${path}?limit=0`), [400, 'invalid_request'])
  assertProblem(await send('GET', `${path}?cursor=nonsense`), [400, 'invalid_request'])
})

test('deliveries of another tenant, and unknown ones, are not found', async () => {
  const webhook = await sender.hook(receiver.url)
  const { id } = bodyOf(await send('POST', `/webhooks/${webhook.id}/test`), Delivery)
  const path = `/webhooks/${webhook.id}`
  const requests: [string, string][] = [
    ['GET', `${path}/deliveries`],
    ['POST', `${path}/deliveries/${id}/replay`],
    ['POST', `${path}/test`],
  ]
  for (const [method, target] of requests) {
    assertProblem(await send(method, target, undefined, globex), [404, 'webhook_not_found'])
    assertProblem(await send(method, target, undefined, uploader), [403, 'forbidden'])
    assertProblem(await client.request(method, target), [401, 'unauthenticated'])
  }
  const other = await sender.hook(receiver.url)
  for (const unknown of [`dlv_${'0'.repeat(32)}`, 'x', id]) {
    const target = `/webhooks/${other.id}/deliveries/${unknown}/replay`
    assertProblem(await send('POST', target), [404, 'delivery_not_found'])
  }
  assertProblem(await send('POST', `${path}/test`, { type: 'upload.lost' }), [400, 'invalid_request'])
  assertProblem(await send('POST', `${path}/test`, { url: receiver.url }), [400, 'invalid_request'])
})

test.run()
