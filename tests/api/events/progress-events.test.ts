import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import {
  createPublishProgress,
  progressChannel,
  UploadProgress,
} from '@millrace/shared/uploads/upload-progress.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type EventStream, openEventStream } from '../../support/event-stream.ts'
import { createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('progress events')
const view = Compile(UploadView)
const progressView = Compile(UploadProgress)
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

const listen = (client: HttpClient, path: string, lastEventId?: string) =>
  openEventStream(new URL(path, api.url), client, lastEventId)

/** Announces an upload, and lets a worker report about it. */
async function announceUpload(client = createHttpClient(api.url)) {
  const announced = await announce(client, 7)
  const address = parseOriginalKey(formOf(announced).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const records = createUploadRecords(api)
  const publish = createPublishProgress(api)
  return {
    client,
    id: announced.id,
    channel: progressChannel(api.prefix, address.owner),
    async change(state: Upload['state']): Promise<number> {
      const stored = await records.update(address, (current) => ({ ...current, state }))
      return stored?.revision ?? 0
    },
    report: (revision: number, progress: Omit<UploadProgress, 'id'>) => publish(address, revision, progress),
  }
}

/** Returns the next event in short: the state of an upload, or its progress. */
async function next(stream: EventStream): Promise<unknown> {
  const event = await stream.next()
  if (event?.event === 'upload') return view.Parse(event.data).state
  if (event?.event !== 'progress') return event?.event
  assert.is(event.id, '', 'a progress does not change the Last-Event-ID')
  const { id: _, ...progress } = progressView.Parse(event.data)
  return progress
}

test('both event streams send the progress between the states that it belongs to', async () => {
  const { client, id, change, report } = await announceUpload()
  const [ofUpload, ofOwner] = [await listen(client, `/uploads/${id}/events`), await listen(client, '/events')]
  assert.is(await next(ofUpload), 'awaiting')
  assert.is(await next(ofOwner), 'snapshot')
  const revision = await change('processing')
  report(revision, { step: 'inspecting' })
  for (const stream of [ofUpload, ofOwner]) {
    assert.is(await next(stream), 'processing')
    assert.equal(await next(stream), { step: 'inspecting' })
  }
  report(revision, { step: 'rendering', done: 3, total: 5 })
  for (const stream of [ofUpload, ofOwner]) {
    assert.equal(await next(stream), { step: 'rendering', done: 3, total: 5 })
  }
  await change('ready')
  // A worker that was stopped meanwhile.
  report(revision, { step: 'publishing' })
  assert.is(await next(ofUpload), 'ready')
  assert.is(await next(ofUpload), undefined)
  assert.is(await next(ofOwner), 'ready')
  await (await announceUpload(client)).change('received')
  assert.is(await next(ofOwner), 'awaiting')
  ofOwner.close()
})

test('messages about progress that are late or of another version are ignored', async () => {
  const { client, id, change, report, channel } = await announceUpload()
  const [ofUpload, ofOwner] = [await listen(client, `/uploads/${id}/events`), await listen(client, '/events')]
  assert.is(await next(ofUpload), 'awaiting')
  const position = Number((await ofOwner.next())?.id)
  const revision = await change('processing')
  assert.is(await next(ofUpload), 'processing')
  assert.is(await next(ofOwner), 'processing')
  const sequence = Date.now() + 1_000
  const progress = { id, step: 'publishing' }
  const messages = [
    'not JSON',
    'null',
    '{}',
    JSON.stringify({ sequence, revision, progress: { id, step: 'polishing' } }),
    JSON.stringify({ sequence, revision, progress: { step: 'publishing' } }),
    // Of a state before the one that both streams have sent.
    JSON.stringify({ sequence: position, revision: revision - 1, progress }),
  ]
  for (const message of messages) await api.redis.publish(channel, message)
  report(revision, { step: 'inspecting' })
  assert.equal(await next(ofUpload), { step: 'inspecting' })
  assert.equal(await next(ofOwner), { step: 'inspecting' })
  ofUpload.close()
  ofOwner.close()
})

test('a stream of one upload has no progress of another upload of the same owner', async () => {
  const one = await announceUpload()
  const other = await announceUpload(one.client)
  const stream = await listen(one.client, `/uploads/${one.id}/events`)
  assert.is(await next(stream), 'awaiting')
  const revision = await one.change('processing')
  other.report(await other.change('processing'), { step: 'publishing' })
  one.report(revision, { step: 'inspecting' })
  assert.is(await next(stream), 'processing')
  assert.equal(await next(stream), { step: 'inspecting' })
  stream.close()
})

test('an instance listens to progress only while it has watchers', async () => {
  const { client, id, change } = await announceUpload()
  const channels = async () => (await api.redis.pubsub('CHANNELS', `${api.prefix}:progress:*`)).length
  assert.is(await channels(), 0)
  const stream = await listen(client, `/uploads/${id}/events`)
  await stream.next()
  assert.is(await channels(), 1)
  stream.close()
  while ((await channels()) > 0) await change('awaiting')
})

test.run()
