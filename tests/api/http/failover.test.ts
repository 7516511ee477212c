import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiCloud, startApiCloud } from '../../support/api-cloud.ts'
import { startApiProcess } from '../../support/api-process.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { type RedisPair, startRedisPair } from '../../support/redis-pair.ts'
import { announce, readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('failover under the API', {}, { limitMs: 60_000 })
const small = { filename: 'a', contentType: 'a/b', size: 7 }
let pair: RedisPair
let cloud: ApiCloud

test.before(async () => {
  pair = await startRedisPair()
  cloud = await startApiCloud({ redisUrl: pair.url })
})
test.after(async () => {
  await cloud.close()
  await pair.close()
})

test('an instance that keeps its connections to a demoted primary answers 503 until it has left it, then as usual', async () => {
  const instance = await startApiProcess({ ...cloud.environment, LOG_LEVEL: 'info' })
  const client = createHttpClient(instance.url)
  const { id } = await announce(client, 7)
  const events = await openEventStream(new URL('/events', instance.url), client)
  assert.is((await events.next())?.event, 'snapshot')

  await pair.failOver(async () => {
    const refused = await client.post('/uploads', small)
    assert.is(refused.status, 503)
    assert.is(refused.headers.get('retry-after'), '5')
    assert.is(bodyOf(refused, Problem).code, 'dependency_unavailable')
  })
  await until(async () => (await client.post('/uploads', small)).status === 201)
  assert.is((await client.get('/ready')).status, 200)
  assert.is((await readUpload(client, id)).state, 'awaiting')
  // Changes on the new primary reach the watchers.
  const { id: later } = await announce(client, 7)
  for (let seen = false; !seen; ) {
    const event = await events.next()
    assert.ok(event)
    seen = JSON.stringify(event.data).includes(later)
  }
  events.close()
  assert.is(await instance.stop(), 0)
})

test.run()
