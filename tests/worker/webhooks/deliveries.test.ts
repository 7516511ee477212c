import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { deliveryIdOf } from '@millrace/shared/webhooks/delivery-queue.ts'
import { Webhook as Verifier } from 'standardwebhooks'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { type ReceivedRequest, type Receiver, startReceiver } from '../support/receiver.ts'
import { newSecret, startWebhookSender, type WebhookSender } from '../support/webhook-sender.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('webhook deliveries')
let fleet: WorkerFleet
const closers: (() => Promise<void>)[] = []

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
test.after(async () => {
  await fleet.close()
})

async function sender(options: Parameters<typeof startWebhookSender>[1] = {}): Promise<WebhookSender> {
  const started = await startWebhookSender(fleet, options)
  closers.push(started.close)
  return started
}

async function receiver(respond?: Parameters<typeof startReceiver>[0]): Promise<Receiver> {
  const started = await startReceiver(respond)
  closers.push(started.close)
  return started
}

function verify(secret: string, { body, headers }: ReceivedRequest): unknown {
  const named = (name: string) => String(headers[name])
  return new Verifier(secret).verify(body, {
    'webhook-id': named('webhook-id'),
    'webhook-timestamp': named('webhook-timestamp'),
    'webhook-signature': named('webhook-signature'),
  })
}

test('an event reaches each enabled webhook that wants it, signed, and leaves the outbox', async () => {
  const { hook, happen, start, untilGone, deliveryLog, logged } = await sender()
  const [one, other, unwanted] = [await receiver(), await receiver(), await receiver()]
  const webhook = await hook(one.url)
  const second = await hook(other.url, { events: ['upload.ready'] })
  await hook(unwanted.url, { events: ['upload.deleted'] })
  await hook(unwanted.url, { enabled: false })
  await start()
  const event = await happen('upload.ready')
  await untilGone(event.upload.id)
  assert.equal([one.seen.length, other.seen.length, unwanted.seen.length], [1, 1, 0])
  const request = await one.received(1)
  assert.equal(verify(webhook.secrets[0]?.secret ?? '', request), {
    id: event.id,
    type: 'upload.ready',
    timestamp: event.at,
    data: event.upload,
  })
  assert.is(request.headers['webhook-id'], event.id)
  assert.is(request.headers['content-type'], 'application/json')
  assert.is(other.seen[0]?.headers['webhook-id'], event.id)
  const delivered = await logged(second.id, deliveryIdOf(event.id, second.id), 'delivered')
  assert.equal(
    [delivered.attempt, delivered.status, delivered.excerpt, delivered.uploadId],
    [1, 204, '', event.upload.id],
  )
  assert.is((await deliveryLog.list(webhook.id, { limit: 10 })).deliveries.length, 1)
})

test('while secrets rotate, both sign; one that has ended does not', async () => {
  const { hook, happen, start } = await sender()
  const target = await receiver()
  const [fresh, old, ended] = [newSecret(), newSecret(), newSecret()]
  await hook(target.url, {
    secrets: [fresh, { ...old, endsAt: new Date(Date.now() + 60_000).toISOString() }],
  })
  await hook(target.url, {
    secrets: [fresh, { ...ended, endsAt: new Date(Date.now() - 1_000).toISOString() }],
    events: ['upload.deleted'],
  })
  await start()
  await happen('upload.received')
  const both = await target.received(1)
  verify(fresh.secret, both)
  verify(old.secret, both)
  await happen('upload.deleted')
  const requests = [await target.received(2), await target.received(3)]
  const counts = requests.map(({ headers }) => String(headers['webhook-signature']).split(' ').length)
  assert.equal(counts.sort(), [1, 2])
  for (const request of requests) verify(fresh.secret, request)
  for (const request of requests) {
    assert.throws(() => verify(ended.secret, request), /No matching signature/)
  }
})

test('a failed delivery is tried again, and later events of the same upload wait for it', async () => {
  const { hook, happen, start, untilGone, logged } = await sender()
  const passing = newUploadId()
  const target = await receiver(({ content }, response, index) => {
    // The first upload's first event fails twice.
    const isRefused = content.data.id !== passing && index < 3
    response.writeHead(isRefused ? 500 : 200).end(isRefused ? 'try later' : 'thanks')
  })
  const other = await receiver()
  const webhook = await hook(target.url)
  await hook(other.url)
  const id = newUploadId()
  const at = (second: number) => new Date(Date.UTC(2026, 10, 27, 12, 0, second)).toISOString()
  const received = await happen('upload.received', { id, at: at(1) })
  await happen('upload.ready', { id, at: at(2) })
  await happen('upload.deleted', { id, at: at(3) })
  await happen('upload.received', { id: passing })
  await start()
  await Promise.all([untilGone(id), untilGone(passing)])
  const ofUpload = target.seen.filter(({ content }) => content.data.id === id)
  const types = ofUpload.map(({ content }) => content.type)
  assert.equal(types.slice(-2), ['upload.ready', 'upload.deleted'])
  assert.ok(types.length >= 5, types.join())
  assert.ok(
    types.slice(0, -2).every((type) => type === 'upload.received'),
    types.join(),
  )
  const [first] = ofUpload
  assert.ok(
    ofUpload.slice(1, -2).every(({ headers }) => headers['webhook-id'] === first?.headers['webhook-id']),
  )
  // A webhook that has an event does not get it again because another one fails.
  assert.equal(
    other.seen.filter(({ content }) => content.data.id === id).map(({ content }) => content.type),
    ['upload.received', 'upload.ready', 'upload.deleted'],
  )
  const entry = await logged(webhook.id, deliveryIdOf(received.id, webhook.id), 'delivered')
  assert.is(entry.attempt, types.length - 2)
  // The upload was deleted, so the log no longer says anything of it.
  assert.equal([entry.content, entry.excerpt], [undefined, undefined])
})

test('the end of a delivery starts the ones that wait for it', async () => {
  const never = { firstDelayMs: 3_600_000, longestDelayMs: 3_600_000 }
  const { hook, happen, start, untilGone, prefix } = await sender({ limits: { turnTimes: never } })
  const first = Promise.withResolvers<() => void>()
  const target = await receiver(({ content }, response) => {
    const respond = () => void response.writeHead(200).end()
    if (content.type === 'upload.received') first.resolve(respond)
    else respond()
  })
  await hook(target.url)
  const id = newUploadId()
  await happen('upload.received', { id })
  await happen('upload.deleted', { id })
  await start()
  const respond = await first.promise
  await until(async () => (await fleet.redis.zcard(`${prefix}:webhooks:delayed`)) !== 0)
  respond()
  await untilGone(id)
  assert.equal(target.types(), ['received', 'deleted'])
})

test('events whose jobs Redis lost are delivered from the outbox, in order', async () => {
  const { hook, happen, write, start, startRelay, untilGone, loseRedis } = await sender()
  const target = await receiver()
  await hook(target.url)
  const id = newUploadId()
  const at = (second: number) => new Date(Date.UTC(2026, 10, 27, 12, 0, second)).toISOString()
  await happen('upload.received', { id, at: at(1) })
  await happen('upload.ready', { id, at: at(2) })
  await loseRedis()
  // Its writer died before it could announce it.
  const unannounced = await write('upload.rejected')
  await start()
  startRelay()
  await Promise.all([untilGone(id), untilGone(unannounced.upload.id)])
  const ofUpload = target.seen.filter(({ content }) => content.data.id === id)
  assert.equal(
    ofUpload.map(({ content }) => content.type),
    ['upload.received', 'upload.ready'],
  )
  assert.is(target.seen.length, 3)
})

test('a tenant with many undelivered events has few jobs, and all events are delivered', async () => {
  const { hook, happen, start, startRelay, untilGone, queue, tenantKey } = await sender({
    maxQueuedEvents: 2,
  })
  const target = await receiver()
  await hook(target.url)
  const events = []
  for (let i = 0; i < 6; i++) events.push(await happen('upload.received'))
  const addresses = events.map(({ id, upload }) => ({ tenantKey, uploadId: upload.id, eventId: id }))
  assert.is((await queue.withoutJob(addresses)).length, 4)
  await start()
  startRelay()
  await Promise.all(events.map(({ upload }) => untilGone(upload.id)))
  assert.equal(new Set(target.seen.map(({ headers }) => headers['webhook-id'])).size, 6)
})

test('an outcome is delivered once a manifest names it, and dropped if none does in time', async () => {
  const { hook, write, commit, start, outbox, untilGone, tenantKey } = await sender()
  const target = await receiver()
  await hook(target.url)
  const long = new Date(Date.now() - 60_001).toISOString()
  const early = await write('upload.ready', { isCommitted: false })
  const late = await write('upload.rejected', { isCommitted: false, at: long })
  // Left by a worker that died, before the next attempt wrote another one.
  const orphan = await write('upload.failed', { isCommitted: false })
  const committed = await write('upload.ready', { id: orphan.upload.id, cause: 'later' })
  const old = await write('upload.failed', { isCommitted: false, at: long })
  await write('upload.ready', { id: old.upload.id, cause: 'later' })
  const erased = await write('upload.ready', { isCommitted: false })
  const deleted = await write('upload.deleted', { id: erased.upload.id })
  await start()
  const first = [early, late, orphan, committed, old, erased, deleted]
  for (const event of first) await outbox.announce(event)
  const ids = () => target.seen.map(({ headers }) => headers['webhook-id']).sort()
  await Promise.all([late, erased].map(({ upload }) => untilGone(upload.id)))
  await target.received(2)
  assert.equal(ids(), [committed.id, deleted.id].sort())
  await commit(early, 'ready')
  await untilGone(early.upload.id)
  assert.equal(ids(), [committed.id, deleted.id, early.id].sort())
  // The manifest of the attempt that was thought dead is written after all.
  assert.ok((await outbox.listOfUpload(tenantKey, orphan.upload.id)).some(({ id }) => id === orphan.id))
  await commit(orphan, 'failed')
  await untilGone(orphan.upload.id)
  assert.ok(ids().includes(orphan.id))
  assert.not.ok(ids().includes(old.id))
})

test('an outcome of an import without bytes needs no manifest', async () => {
  const { hook, write, start, outbox, untilGone } = await sender()
  const target = await receiver()
  await hook(target.url)
  const event = await write('upload.rejected', { isCommitted: false, needsNoManifest: true })
  await outbox.announce(event)
  await start()
  await untilGone(event.upload.id)
  assert.equal(target.types(), ['rejected'])
})

test('a response 410 disables the webhook, and its other events are dropped', async () => {
  const { hook, happen, start, untilGone, webhooks, tenantKey, logged } = await sender()
  const gone = await receiver((_, response) => void response.writeHead(410).end('gone for good'))
  const other = await receiver()
  const webhook = await hook(gone.url)
  await hook(other.url)
  const id = newUploadId()
  const first = await happen('upload.received', { id })
  await happen('upload.deleted', { id })
  await start()
  await untilGone(id)
  assert.equal(gone.types(), ['received'])
  assert.equal(other.types(), ['received', 'deleted'])
  const stored = await webhooks.read(tenantKey, webhook.id)
  assert.is(stored?.enabled, false)
  assert.is(stored?.disabledReason, 'The receiver answered with status 410 (Gone).')
  const entry = await logged(webhook.id, deliveryIdOf(first.id, webhook.id), 'failed')
  assert.equal([entry.status, entry.nextAttemptAt], [410, undefined])
})

test('a delivery is given up after its time, and the next event of the upload follows', async () => {
  const { hook, happen, start, untilGone, logged } = await sender({
    limits: { retryTimes: { firstMs: 5, factor: 1, longestMs: 5, giveUpAfterMs: 0 } },
  })
  const target = await receiver(
    ({ content }, response) => void response.writeHead(content.type === 'upload.received' ? 503 : 200).end(),
  )
  const webhook = await hook(target.url)
  const id = newUploadId()
  const first = await happen('upload.received', { id })
  await start()
  await untilGone(id)
  await happen('upload.deleted', { id })
  await untilGone(id)
  assert.equal(target.types(), ['received', 'deleted'])
  const entry = await logged(webhook.id, deliveryIdOf(first.id, webhook.id), 'failed')
  assert.equal([entry.attempt, entry.status, entry.nextAttemptAt], [1, 503, undefined])
})

test('a receiver that does not respond delays no other one of the same tenant', async () => {
  const { hook, happen, start, untilGone } = await sender({ slots: 6 })
  const held: (() => void)[] = []
  const slow = await receiver((_, response, index) => {
    const respond = () => void response.writeHead(200).end()
    if (index === 0) respond()
    else held.push(respond)
  })
  const prompt = await receiver()
  await hook(slow.url, { events: ['upload.received'] })
  await hook(prompt.url, { events: ['upload.deleted'] })
  await start()
  const introduced = await happen('upload.received')
  await untilGone(introduced.upload.id)
  const received = []
  for (let i = 0; i < 10; i++) received.push(await happen('upload.received'))
  await slow.received(5)
  const deleted = []
  for (let i = 0; i < 10; i++) deleted.push(await happen('upload.deleted'))
  await prompt.received(10)
  assert.is(slow.seen.length, 5, 'no more than its slots')
  for (let count = 0; count < 10; count++) {
    await slow.received(count + 2)
    held[count]?.()
  }
  await Promise.all([...received, ...deleted].map(({ upload }) => untilGone(upload.id)))
})

test('a webhook that another instance has just created gets events', async () => {
  const { start, tenant, tenantKey, webhooks, queue, untilGone } = await sender()
  const target = await receiver()
  assert.equal(await webhooks.list(tenantKey), [])
  const other = openOutbox(fleet)
  await other.webhooks.create(webhookOf(tenant, 'b', { url: target.url }))
  const upload = { owner: tenant, id: newUploadId() }
  const at = new Date().toISOString()
  const event = await other.outbox.add({ type: 'upload.deleted', upload, at, cause: '' })
  assert.ok(event)
  if (event) await queue.announce(event)
  await start()
  await untilGone(upload.id)
  assert.equal(target.types(), ['deleted'])
})

test('a delivery whose webhook is removed ends', async () => {
  const { hook, happen, start, untilGone, webhooks, tenantKey } = await sender()
  const target = await receiver((_, response) => void response.writeHead(500).end())
  const webhook = await hook(target.url)
  await start()
  const event = await happen('upload.received')
  await target.received(2)
  await webhooks.remove(tenantKey, webhook.id)
  await untilGone(event.upload.id)
})

test('an address that is not public is refused, and the log says so', async () => {
  const { hook, happen, start, logged } = await sender({ networks: [] })
  const target = await receiver()
  const webhook = await hook(target.url)
  await start()
  const event = await happen('upload.received')
  const entry = await logged(webhook.id, deliveryIdOf(event.id, webhook.id), 'pending')
  assert.equal([entry.error, entry.status, target.seen.length], ['address_refused', undefined, 0])
  assert.ok(entry.nextAttemptAt)
})

test.run()
