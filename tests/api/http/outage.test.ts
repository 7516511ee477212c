import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '@millrace/api/http/problem.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('outage')

test('of Redis is answered with 503 while it lasts, and forgotten after', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-outage-'))
  const first = await startRedisServer({ directory })
  const api = await startApiInstances({ redisUrl: first.url })
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const [request] = await Promise.all([client.get('/uploads'), first.close()])
  assert.ok([200, 503].includes(request.status))

  const answer = await client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 7 })
  assert.is(answer.status, 503)
  assert.is(answer.headers.get('retry-after'), '5')
  assert.is(bodyOf(answer, Problem).code, 'dependency_unavailable')
  assert.not.match(JSON.stringify(answer.body), /127\.0\.0\.1|ECONN|redis/i)
  assert.is((await client.get('/health')).status, 200)
  assert.is((await client.get('/ready')).status, 503)

  // Not `once` of node:events, which gives up at the first error, and there is one for each try in vain.
  const reconnected = new Promise((resolve) => api.redis.once('ready', resolve))
  const second = await startRedisServer({ directory, port: first.port })
  await reconnected
  await announce(client, 7)
  await api.close()
  await second.close()
  await rm(directory, { recursive: true })
})

test('of S3 is answered with 503', async () => {
  const api = await startApiInstances({ environment: { BUCKET: 'millrace' } })
  const client = createHttpClient(api.url)
  await announce(client, 7)
  await api.stopCloud()
  const answer = await client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 9 * 1024 ** 2 })
  assert.is(answer.status, 503)
  assert.is(bodyOf(answer, Problem).code, 'dependency_unavailable')
  assert.is((await client.get('/ready')).status, 503)
  await api.close()
})

test.run()
