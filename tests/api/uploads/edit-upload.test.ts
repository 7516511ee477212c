import { Problem } from '@millrace/api/requests/problem.ts'
import { createEditUpload } from '@millrace/api/uploads/edit-upload.ts'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { editKey, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, smallestUploadId, uploadIdTail } from '@millrace/shared/uploads/upload-id.ts'
import { createApplyEdit } from '@millrace/worker/arrivals/apply-edit.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('changing an upload')
let api: ApiInstances
let client: HttpClient
let lifecycle: ReturnType<typeof createTestLifecycle>

test.before(async () => {
  api = await startApiInstances({ count: 2, environment: { RATE_LIMIT_PER_MINUTE: '100000' } })
  lifecycle = createTestLifecycle(api)
})
test.before.each(() => {
  client = createHttpClient(api.url)
})
test.after(() => api.close())

async function announced(metadata?: Record<string, string>) {
  const announcement = await announce(client, 7, metadata ? { metadata } : {})
  const form = formOf(announcement)
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The key in the form is not the key of an original.')
  return { address, send: () => sendForm(form, new Uint8Array(7)) }
}

/** Sends a file, and finishes it as a worker does. */
async function finished(metadata?: Record<string, string>): Promise<UploadAddress> {
  const { address, send } = await announced(metadata)
  await send()
  const received = await lifecycle.receiveUpload(address)
  if (!received?.upload.arrival) throw new Error('The file did not arrive.')
  const { intent, arrival, createdAt, updatedAt } = received.upload
  const manifest = {
    version: 1 as const,
    ...address,
    outcome: 'ready' as const,
    intent,
    arrival,
    recipe: 'x',
    findings: {},
    variants: [],
    createdAt,
    finishedAt: updatedAt,
  }
  await lifecycle.manifests.write(manifest, undefined)
  await lifecycle.checkUpload(address)
  return address
}

const edit = ({ id }: { id: string }, json: unknown, options: { base?: string } = {}) =>
  client.request('PATCH', `/uploads/${id}`, { json, ...options })
const edited = async (address: { id: string }, json: unknown) => bodyOf(await edit(address, json), UploadView)

/** Makes Redis forget everything but sessions. */
async function loseUploads(): Promise<void> {
  const keys = await api.redis.keys(`${api.prefix}:*`)
  await api.redis.del(...keys.filter((key) => !key.includes('session')))
}

const nameAndMetadata = ({ filename, metadata }: UploadView) => ({ filename, metadata })

test('filename and metadata change in every state, and survive the loss of Redis once S3 has the file', async () => {
  const { address, send } = await announced({ album: 'summer', draft: 'yes' })
  const first = await edited(address, { filename: 'harbour.jpg', metadata: { draft: null, by: 'Ida' } })
  assert.equal([first.state, first.filename], ['awaiting', 'harbour.jpg'])
  assert.equal(first.metadata, { album: 'summer', by: 'Ida' })
  await send()
  await lifecycle.receiveUpload(address)
  const received = await readUpload(client, address.id)
  assert.equal([received.state, nameAndMetadata(received)], ['received', nameAndMetadata(first)])
  await loseUploads()
  assert.equal(nameAndMetadata(await readUpload(client, address.id)), nameAndMetadata(first))
  const second = await edited(address, { metadata: { album: null, by: null } })
  assert.equal(nameAndMetadata(second), { filename: 'harbour.jpg', metadata: undefined })
  await loseUploads()
  assert.equal(nameAndMetadata(await readUpload(client, address.id)), nameAndMetadata(second))
})

test('a finished upload keeps its change without Redis, and downloads have the new filename', async () => {
  const address = await finished({ album: 'summer' })
  const manifest = await lifecycle.manifests.readStored(address)
  await edited(address, { filename: 'grüße.jpg' })
  await loseUploads()
  const upload = await readUpload(client, address.id)
  assert.equal([upload.state, upload.filename, upload.metadata], ['ready', 'grüße.jpg', { album: 'summer' }])
  assert.equal(await lifecycle.manifests.readStored(address), manifest, 'the manifest stays as it is')
  const { headers } = await client.get(`/uploads/${address.id}/original`)
  const response = await fetch(headers.get('location') ?? '')
  assert.match(response.headers.get('content-disposition') ?? '', encodeURIComponent('grüße.jpg'))
  await response.body?.cancel()
})

test('requests at the same time at two instances are merged', async () => {
  const address = await finished()
  const names = Array.from({ length: 6 }, (_, n) => `field${n}`)
  const responses = await Promise.all(
    names.map((name, n) => edit(address, { metadata: { [name]: 'x' } }, { base: api.urls[n % 2] ?? '' })),
  )
  assert.equal(
    responses.map(({ status }) => status),
    names.map(() => 200),
  )
  const expected = Object.fromEntries(names.map((name) => [name, 'x']))
  assert.equal((await readUpload(client, address.id)).metadata, expected)
  await loseUploads()
  assert.equal((await readUpload(client, address.id)).metadata, expected)
})

test('a change that another instance makes between reading and writing is not undone', async () => {
  for (const earlier of [[], [{ metadata: { before: 'x' } }]]) {
    const address = await finished()
    for (const change of earlier) await edited(address, change)
    const found = (await lifecycle.lookup.find(address))?.upload
    if (!found) throw new Error('The upload was not found.')
    const readEdits: unknown[] = []
    const editUpload = createEditUpload({
      ...lifecycle,
      edits: {
        ...lifecycle.edits,
        async readStored(of) {
          const read = await lifecycle.edits.readStored(of)
          readEdits.push(read?.content.revision)
          if (readEdits.length === 1)
            await edited(address, { filename: 'other.jpg', metadata: { other: 'x' } })
          return read
        },
      },
    })
    const { intent } = await editUpload(found, { metadata: { own: 'x' } })
    const revision = earlier.length + 1
    assert.equal(readEdits, [earlier.length || undefined, revision], 'it is decided again')
    const expected = { ...earlier[0]?.metadata, other: 'x', own: 'x' }
    assert.equal([intent.filename, intent.metadata], ['other.jpg', expected])
    assert.equal(await lifecycle.edits.read(address), {
      revision: revision + 1,
      filename: 'other.jpg',
      metadata: expected,
    })
    await loseUploads()
    assert.equal((await readUpload(client, address.id)).metadata, expected)
  }
})

test('a request that changes nothing writes nothing', async () => {
  const address = await finished({ album: 'summer' })
  const before = await readUpload(client, address.id)
  for (const json of [{}, { filename: 'photo.jpg' }, { metadata: {} }, { metadata: { none: null } }]) {
    assert.equal(await edited(address, json), before)
  }
  assert.is(await lifecycle.edits.read(address), undefined)
})

test('reprocessing keeps what was changed', async () => {
  const address = await finished()
  await edited(address, { filename: 'b.jpg', metadata: { focus: '1,1' } })
  const upload = bodyOf(await client.post(`/uploads/${address.id}/reprocess`, {}), UploadView)
  assert.equal(nameAndMetadata(upload), { filename: 'b.jpg', metadata: { focus: '1,1' } })
  assert.equal((await lifecycle.records.find(address))?.upload.edit?.revision, 1)
})

test('subscribers receive the change', async () => {
  const address = await finished()
  const stream = await openEventStream(new URL('/events', api.url), client)
  assert.is((await stream.next())?.event, 'snapshot')
  await edited(address, { filename: 'live.jpg' })
  const event = await stream.next()
  stream.close()
  assert.equal(
    [event?.event, bodyOf({ ...noResponse, body: event?.data }, UploadView).filename],
    ['upload', 'live.jpg'],
  )
})
const noResponse = { status: 200, headers: new Headers() }

for (const [what, json, field] of [
  ['a filename with a line break', { filename: 'a\nb' }, 'filename'],
  ['an empty filename', { filename: '' }, 'filename'],
  ['a filename of 256 characters', { filename: 'a'.repeat(256) }, 'filename'],
  ['a filename that is null', { filename: null }, 'filename'],
  ['a name of metadata with a space', { metadata: { 'a b': 'x' } }, 'metadata.a b'],
  ['a value of metadata that is a number', { metadata: { a: 1 } }, 'metadata.a'],
  ['metadata that is null', { metadata: null }, 'metadata'],
  ['another field', { preset: 'default' }, 'preset'],
  ['metadata with NUL', { metadata: { a: '\0' } }, 'metadata.a'],
] as const) {
  test(`${what} is refused`, async () => {
    const { id } = await announce(client, 7)
    const response = await edit({ id }, json)
    assert.is(response.status, 400)
    assert.is(bodyOf(response, Problem).errors?.[0]?.field, field)
    assert.is((await readUpload(client, id)).filename, 'photo.jpg')
  })
}

test('all changes together have the limit of an announcement', async () => {
  const { address } = await announced({ a: 'x'.repeat(256), b: 'x'.repeat(256) })
  const long = (names: string) => ({
    metadata: Object.fromEntries([...names].map((name) => [name, 'y'.repeat(256)])),
  })
  assert.is((await edit(address, long('cdef'))).status, 200)
  const response = await edit(address, long('gh'))
  assert.equal([response.status, bodyOf(response, Problem).limit], [400, 2048])
  assert.is(Object.keys((await readUpload(client, address.id)).metadata ?? {}).length, 6)
})

test("another owner's upload, an erased one and one that never was are not found", async () => {
  const address = await finished()
  const other = createHttpClient(api.url)
  await other.get('/session')
  const request = { json: { filename: 'stolen.jpg' } }
  assert.is((await other.request('PATCH', `/uploads/${address.id}`, request)).status, 404)
  assert.is((await edit({ id: newUploadId() }, { filename: 'a' })).status, 404)
  assert.is((await edit({ id: 'x' }, { filename: 'a' })).status, 404)
  await edited(address, { filename: 'b.jpg' })
  const { erased } = bodyOf(await client.delete(`/uploads/${address.id}`), Receipt)
  assert.ok(erased.some(({ key }) => key === editKey(address)))
  assert.is((await edit(address, { filename: 'c.jpg' })).status, 404)
  assert.is(await lifecycle.edits.read(address), undefined)
})

test('an edit that is written after the erasure marker is erased', async () => {
  const address = await finished()
  await lifecycle.erasures.mark(address)
  assert.is((await edit(address, { filename: 'late.jpg' })).status, 404)
  assert.is(await lifecycle.edits.read(address), undefined)
})

test('what a token set cannot be changed with it, other fields can', async () => {
  const address = await finished({ tenant: 'a', album: 'summer' })
  const found = (await lifecycle.lookup.find(address))?.upload
  if (!found) throw new Error('The upload was not found.')
  const editUpload = createEditUpload(lifecycle)
  for (const metadata of [{ tenant: 'b' }, { tenant: null }]) {
    const code = await editUpload(found, { metadata }, ['tenant']).then(
      () => 'changed',
      (error: unknown) => (error instanceof AppError ? error.code : error),
    )
    assert.is(code, 'token_limit')
  }
  const { intent } = await editUpload(found, { metadata: { tenant: 'a', album: null } }, ['tenant'])
  assert.equal(intent.metadata, { tenant: 'a' })
})

test('the edit of an upload whose bytes cannot arrive any more is deleted', async () => {
  const { address } = await announced()
  await edited(address, { filename: 'b.jpg' })
  await loseUploads()
  assert.is(await lifecycle.checkUpload(address), undefined)
  assert.ok(await lifecycle.edits.read(address), 'its bytes may be on their way')
  const eightDaysMs = 8 * 24 * 60 * 60 * 1000
  const id = `${smallestUploadId(Date.now() - eightDaysMs).slice(0, 14)}${uploadIdTail(newUploadId())}`
  const old = { ...address, id }
  await lifecycle.edits.write(old, { revision: 1, filename: 'c.jpg' }, undefined)
  assert.is(await lifecycle.checkUpload(old), undefined)
  assert.is(await lifecycle.edits.read(old), undefined)
})

test('a process that died after it wrote the edit leaves the change to the event', async () => {
  const address = await finished()
  await lifecycle.edits.write(address, { revision: 1, filename: 'written.jpg' }, undefined)
  await createApplyEdit(lifecycle)(address)
  assert.is((await readUpload(client, address.id)).filename, 'written.jpg')
})

test('a change of the record keeps an edit', async () => {
  const address = await finished()
  await edited(address, { filename: 'b.jpg' })
  const rename = (current: Upload) => ({
    ...current,
    intent: { ...current.intent, filename: 'source.jpg', size: 9 },
  })
  const stored = await lifecycle.records.update(address, rename)
  assert.equal([stored?.upload.intent.filename, stored?.upload.intent.size], ['b.jpg', 9])
})

test.run()
