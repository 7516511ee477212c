import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload events')
const uploadView = Compile(UploadView)
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2 })
})
test.after(() => api.close())

async function listen(client: HttpClient, id: string, options: { base?: string; lastEventId?: string } = {}) {
  const url = new URL(`/uploads/${id}/events`, options.base ?? api.url)
  const stream = await openEventStream(url, client, options.lastEventId)
  return {
    ...stream,
    async next() {
      const event = await stream.next()
      if (!event) return undefined
      assert.is(event.event, 'upload')
      return { id: event.id, upload: uploadView.Parse(event.data) }
    },
  }
}

async function announced() {
  const client = createHttpClient(api.url)
  const made = await announce(client, 7)
  const address = parseOriginalKey(formOf(made).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const change = (change: Partial<Upload>) =>
    records.update(address, (current) => ({ ...current, ...change }))
  return { client, id: made.id, change }
}

test('are a snapshot first, then each change in order, from whichever instance; then the end', async () => {
  const { client, id, change } = await announced()
  const streams = await Promise.all(api.urls.map((base) => listen(client, id, { base })))
  for (const stream of streams) {
    assert.is(stream.response.headers.get('content-type'), 'text/event-stream')
    assert.is((await stream.next())?.upload.state, 'awaiting')
  }
  for (const state of ['received', 'processing', 'ready'] as const) await change({ state })
  for (const stream of streams) {
    const states = [await stream.next(), await stream.next(), await stream.next()]
    assert.equal(
      states.map((event) => event?.upload.state),
      ['received', 'processing', 'ready'],
    )
    assert.is(await stream.next(), undefined)
  }
})

test('go on where the client left off', async () => {
  const { client, id, change } = await announced()
  const first = await listen(client, id)
  const seen = await first.next()
  first.close()
  const second = await listen(client, id, { lastEventId: seen?.id ?? '' })
  await change({ state: 'received' })
  assert.is((await second.next())?.upload.state, 'received')
  await change({ state: 'processing' })
  const missed = await listen(client, id, { lastEventId: seen?.id ?? '' })
  assert.is((await missed.next())?.upload.state, 'processing')
  second.close()
  missed.close()
})

test('tell a client that has seen the end not to come back', async () => {
  const { client, id, change } = await announced()
  await change({ state: 'rejected', error: { code: 'image_corrupt', message: 'Broken.' } })
  const stream = await listen(client, id)
  const end = await stream.next()
  assert.equal(end?.upload.error, { code: 'image_corrupt', message: 'Broken.' })
  assert.is(await stream.next(), undefined)
  const again = await listen(client, id, { lastEventId: end?.id ?? '' })
  assert.is(again.response.status, 204)
})

test('miss nothing when Redis drops the connection in between', async () => {
  const { client, id, change } = await announced()
  const stream = await listen(client, id)
  assert.is((await stream.next())?.upload.state, 'awaiting')
  await api.cutSubscribers()
  await change({ state: 'processing' })
  assert.is((await stream.next())?.upload.state, 'processing')
  stream.close()
})

test('end when the instance closes', async () => {
  const own = await startApiInstances()
  const client = createHttpClient(own.url)
  const { id } = await announce(client, 7)
  const stream = await listen(client, id, { base: own.url })
  await stream.next()
  await own.close()
  assert.is(await stream.next(), undefined)
})

test('leave no subscription behind when clients leave', async () => {
  const { client, id, change } = await announced()
  const streams = await Promise.all([listen(client, id), listen(client, id)])
  for (const stream of streams) await stream.next()
  const channels = async () => (await api.redis.pubsub('CHANNELS', `${api.prefix}:changes:*`)).length
  assert.is(await channels(), 1)
  for (const stream of streams) stream.close()
  // The instance learns of it in its own time: each change finds it still subscribed, or not any more.
  while ((await channels()) > 0) await change({})
})

test.run()
