import { once } from 'node:events'
import { createKeepUploadOpen } from '@millrace/api/direct/keep-upload-open.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { arrivalGraceMs, Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { changesChannel, createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('life of a direct upload')
const change = Compile(Type.Object({ upload: Upload }))
const owner = 'someone'
/** Two renewals may fail, of which there is one each three minutes. In ms. */
const directUploadLifeMs = 10 * 60_000
let api: ApiInstances
let subscriber: Redis

test.before(async () => {
  api = await startApiInstances({ environment: { QUOTA_FILES_TOTAL: '10' } })
  subscriber = new Redis(process.env['REDIS_URL'] ?? '')
})
test.after(async () => {
  subscriber.disconnect()
  await api.close()
})

const expiryOf = ({ expiresAt = '' }: Upload) => Date.parse(expiresAt)

async function nextChange(): Promise<Upload> {
  const [, message]: unknown[] = await once(subscriber, 'message')
  return change.Parse(JSON.parse(String(message))).upload
}

test('a direct upload expires soon after its instance has died', async () => {
  await subscriber.psubscribe(`${api.prefix}:changes:*`)
  const announced = once(subscriber, 'pmessage')
  const request = new AbortController()
  const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) })
  const response = fetch(`${api.url}/upload?filename=a.jpg`, {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { cookie: (await sessionOf()) ?? '', 'content-type': 'image/jpeg' },
    signal: request.signal,
  })
  const [, , message]: unknown[] = await announced
  const { upload } = change.Parse(JSON.parse(String(message)))
  assert.is(upload.state, 'awaiting')
  assert.is(expiryOf(upload) - Date.parse(upload.createdAt), directUploadLifeMs)
  request.abort()
  await response.catch(() => undefined)
  await subscriber.punsubscribe()
})

async function sessionOf() {
  const client = createHttpClient(api.url)
  await client.get('/session')
  return client.cookie
}

test('a direct upload and its reservation are renewed while bytes flow, and not afterwards', async () => {
  const { redis, prefix } = api
  const records = createUploadRecords({ redis, prefix })
  const reservations = createQuotaReservations({ redis, prefix })
  const address = { owner, id: newUploadId() }
  const startedAtMs = Date.now()
  await reservations.adopt(owner, [], startedAtMs)
  await reservations.reserve(address, 7, startedAtMs, { filesTotal: 10 })
  await records.create({
    ...address,
    state: 'awaiting',
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    findings: {},
    variants: [],
    createdAt: new Date(startedAtMs).toISOString(),
    updatedAt: new Date(startedAtMs).toISOString(),
    expiresAt: new Date(startedAtMs).toISOString(),
  })
  const renewals: number[] = []
  const keepUploadOpen = createKeepUploadOpen({
    records,
    quota: {
      async extend(upload, expiresAtMs) {
        await reservations.extend(upload, expiresAtMs + arrivalGraceMs)
        renewals.push(expiresAtMs)
      },
    },
    log: { warn: (details: unknown) => assert.unreachable(String(details)) },
    renewMs: 5,
  })
  /** Whether a time is as long after a renewal of this test as a direct upload lives. */
  const isLife = (expiresAtMs: number) =>
    expiresAtMs >= startedAtMs + directUploadLifeMs && expiresAtMs <= Date.now() + directUploadLifeMs
  await subscriber.subscribe(changesChannel(prefix, owner))
  const result = await keepUploadOpen(address, async () => {
    const first = await nextChange()
    assert.ok(isLife(expiryOf(first)), first.expiresAt)
    const second = await nextChange()
    assert.ok(isLife(expiryOf(second)) && expiryOf(second) > expiryOf(first), second.expiresAt)
    // A renewal after the arrival must not change the record.
    await records.update(address, ({ expiresAt: _, ...current }) => ({ ...current, state: 'received' }))
    return 'stored'
  })
  assert.is(result, 'stored')
  const stored = await records.find(address)
  assert.is(stored?.upload.state, 'received')
  assert.is(stored?.upload.expiresAt, undefined)
  assert.ok(renewals.length > 0 && renewals.every(isLife), `${renewals}`)
  // The last renewal may still run, and is of a time before now.
  const lifeMs = directUploadLifeMs + arrivalGraceMs
  assert.equal(await reservations.overdue(owner, startedAtMs + lifeMs - 1, 10), [])
  assert.equal(await reservations.overdue(owner, Date.now() + lifeMs, 10), [address.id])
  await subscriber.unsubscribe()
})

test('a renewal does not restore the reservation of an upload that arrived', async () => {
  const { redis, prefix } = api
  const reservations = createQuotaReservations({ redis, prefix })
  const address = { owner: 'another', id: newUploadId() }
  await reservations.adopt('another', [], Date.now())
  await reservations.reserve(address, 7, 1, { filesTotal: 10 })
  await reservations.confirm(address, 7)
  await reservations.extend(address, 2)
  assert.equal(await reservations.overdue('another', Date.now(), 10), [])
})

test.run()
