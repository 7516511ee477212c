import { S3Client } from '@aws-sdk/client-s3'
import { tenantKey, userOwner } from '@millrace/shared/uploads/owner.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { arrivalCause, createOutbox, eventId } from '@millrace/shared/webhooks/outbox.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openOutbox, webhookOf } from '../../worker/support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('webhook store and outbox')
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

/** A store of another instance, and the names of the requests that it sends. */
function openStore() {
  const requests: string[] = []
  const s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  s3.middlewareStack.add(
    (next, context) => (args) => {
      requests.push(String(context['commandName']))
      return next(args)
    },
    { step: 'initialize' },
  )
  return { store: createWebhookStore({ s3, bucket: fleet.bucket }), requests, close: () => s3.destroy() }
}

function uploadOf(owner: string, fields: Partial<Upload> = {}): Upload {
  const at = '2026-11-25T12:00:00.000Z'
  const intent = { filename: 'a.png', contentType: 'image/png', size: 7, preset: 'default' }
  const rest = { intent, findings: {}, variants: [], createdAt: at, updatedAt: at }
  return { id: newUploadId(), owner, state: 'ready', ...rest, ...fields }
}

const keyOf = 'f'.repeat(16)

test('a list is read from S3 once, also if it is empty or asked for at the same time', async () => {
  const { store, requests, close } = openStore()
  assert.equal(await Promise.all([store.list(keyOf), store.list(keyOf)]), [[], []])
  assert.equal(await store.list(keyOf), [])
  assert.equal(requests, ['ListObjectsV2Command'])
  close()
})

test('a change of this instance is seen at once, one of another instance when the list is read again', async () => {
  const { webhooks } = openOutbox(fleet)
  const { store, close } = openStore()
  const webhook = webhookOf('changes', '1')
  const listed = async () => (await store.list(tenantKey('changes'))).map(({ id, enabled }) => [id, enabled])
  assert.equal(await listed(), [])
  await webhooks.create(webhook)
  assert.equal(await listed(), [], 'for up to 5 s')
  await store.update(tenantKey('changes'), webhook.id, (current) => ({ ...current, enabled: false }))
  assert.equal(await listed(), [[webhook.id, false]])
  assert.ok(await store.remove(tenantKey('changes'), webhook.id))
  assert.equal(await listed(), [])
  assert.not.ok(await store.remove(tenantKey('changes'), webhook.id))
  close()
})

test('two changes of one webhook at the same time are both kept', async () => {
  const { webhooks } = openOutbox(fleet)
  const webhook = webhookOf('race', '1', { description: '' })
  const key = tenantKey('race')
  await webhooks.create(webhook)
  const add = (letter: string) =>
    webhooks.update(key, webhook.id, (current) => ({ ...current, description: current.description + letter }))
  await Promise.all([...'abcd'].map(add))
  const { description = '' } = (await webhooks.read(key, webhook.id)) ?? {}
  assert.is([...description].sort().join(''), 'abcd')
  assert.is(await webhooks.update(key, 'wh_0', (current) => current), undefined)
})

test('a webhook that this version cannot read does not hide the others', async () => {
  const { webhooks } = openOutbox(fleet)
  const [readable, newer] = [webhookOf('newer', '1'), webhookOf('newer', '2')]
  await webhooks.create(readable)
  await webhooks.create({ ...newer, url: 'x'.repeat(3000) })
  assert.equal(
    (await webhooks.list(tenantKey('newer'))).map(({ id }) => id),
    [readable.id],
  )
})

test('an event that is written twice is one object, and its id follows from what happened', async () => {
  const { webhooks, tenantUsers, outbox } = openOutbox(fleet)
  await webhooks.create(webhookOf('twice', '1', { events: ['upload.ready'] }))
  const upload = uploadOf(await tenantUsers.record('twice', 'Zoë'))
  const cause = arrivalCause({ etag: 'e', versionId: 'v', size: 7 }, upload.updatedAt)
  const ready = { type: 'upload.ready', upload, at: upload.updatedAt, cause } as const
  const [first, second] = [await outbox.add(ready), await outbox.add(ready)]
  assert.equal(first, second)
  assert.is(first?.id, eventId({ type: 'upload.ready', owner: upload.owner, uploadId: upload.id, cause }))
  assert.is(first?.upload.user, 'Zoë')
  assert.is((await outbox.listOfUpload(tenantKey('twice'), upload.id)).length, 1)
  const other = arrivalCause({ etag: 'e', versionId: 'w', size: 7 }, upload.updatedAt)
  assert.is.not((await outbox.add({ ...ready, cause: other }))?.id, first?.id)
})

test('no event is written for a session, for a type that nobody wants, or for a disabled webhook', async () => {
  const { webhooks, outbox } = openOutbox(fleet)
  await webhooks.create(webhookOf('picky', '1', { events: ['upload.failed'] }))
  await webhooks.create(webhookOf('picky', '2', { enabled: false }))
  const owners = ['s-0123456789abcdef0123456789abcdef', 'picky', userOwner('picky', 'someone')]
  for (const owner of owners) {
    const upload = uploadOf(owner)
    assert.is(await outbox.add({ type: 'upload.ready', upload, at: upload.updatedAt, cause: '' }), undefined)
  }
  assert.ok(await outbox.isWanted('upload.failed', 'picky'))
})

test("an upload's events are listed in their order, the deletion last", async () => {
  const { webhooks, outbox } = openOutbox(fleet)
  await webhooks.create(webhookOf('order', '1'))
  const upload = uploadOf('order')
  const at = (second: number) => `2026-11-25T12:00:0${second}.000Z`
  await outbox.add({ type: 'upload.deleted', upload, at: at(2), cause: '' })
  await outbox.add({ type: 'upload.ready', upload, at: at(3), cause: 'b' })
  await outbox.add({ type: 'upload.received', upload, at: at(1), cause: 'a' })
  const events = await outbox.listOfUpload(tenantKey('order'), upload.id)
  assert.equal(
    events.map(({ type }) => type),
    ['upload.received', 'upload.ready', 'upload.deleted'],
  )
  for (const event of events) await outbox.remove(event)
  assert.equal(await outbox.listOfUpload(tenantKey('order'), upload.id), [])
})

test('the outbox is listed page by page, with no event twice', async () => {
  const { webhooks, outbox } = openOutbox(fleet)
  await webhooks.create(webhookOf('pages', '1'))
  for (const cause of 'abcde') {
    const upload = uploadOf('pages')
    await outbox.add({ type: 'upload.ready', upload, at: upload.updatedAt, cause })
  }
  const keys: string[] = []
  let after: string | undefined
  do {
    const { entries, next } = await outbox.list({ after, limit: 2 })
    assert.ok(entries.length <= 2)
    keys.push(...entries.map(({ key }) => key))
    after = next
  } while (after !== undefined)
  const ofPages = keys.filter((key) => key.startsWith(`outbox/${tenantKey('pages')}/`))
  assert.equal([ofPages.length, new Set(keys).size], [5, keys.length])
  assert.ok((await outbox.read(ofPages[0] ?? ''))?.id)
})

test('an event whose announcement fails stays in the outbox', async () => {
  const { webhooks, tenantUsers } = openOutbox(fleet)
  await webhooks.create(webhookOf('failing', '1'))
  const announce = async () => {
    throw new Error('Redis is full')
  }
  const outbox = createOutbox({ ...fleet, webhooks, tenantUsers, announce })
  const upload = uploadOf('failing')
  const event = await outbox.add({ type: 'upload.ready', upload, at: upload.updatedAt, cause: '' })
  if (!event) throw new Error('No event was written.')
  await outbox.announce(event)
  assert.is((await outbox.listOfUpload(tenantKey('failing'), upload.id)).length, 1)
})

test.run()
