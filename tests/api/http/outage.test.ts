import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '@millrace/api/requests/problem.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('outage')

test('without Redis the API responds with 503, and recovers when Redis returns', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-outage-'))
  const first = await startRedisServer({ directory })
  const api = await startApiInstances({ redisUrl: first.url })
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const [request] = await Promise.all([client.get('/uploads'), first.close()])
  assert.ok([200, 503].includes(request.status))

  const response = await client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 7 })
  assert.is(response.status, 503)
  assert.is(response.headers.get('retry-after'), '5')
  assert.is(bodyOf(response, Problem).code, 'dependency_unavailable')
  assert.not.match(JSON.stringify(response.body), /127\.0\.0\.1|ECONN|redis/i)
  assert.is((await client.get('/health')).status, 200)
  assert.is((await client.get('/ready')).status, 503)

  // Not `once` of node:events: it rejects on the first error, and each failed reconnection is one.
  const reconnected = new Promise((resolve) => api.redis.once('ready', resolve))
  const second = await startRedisServer({ directory, port: first.port })
  await reconnected
  await announce(client, 7)
  await api.close()
  await second.close()
  await rm(directory, { recursive: true })
})

test('while Redis is full or read-only, writes get 503, and succeed when it recovers', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-outage-'))
  const server = await startRedisServer({ directory })
  const api = await startApiInstances({ redisUrl: server.url })
  const client = createHttpClient(api.url)
  const write = () => client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 7 })
  await announce(client, 7)
  for (const [fault, recovery] of [
    [() => api.redis.config('SET', 'maxmemory', '1'), () => api.redis.config('SET', 'maxmemory', '0')],
    [() => api.redis.replicaof('127.0.0.1', 1), () => api.redis.replicaof('NO', 'ONE')],
  ] as const) {
    await fault()
    const response = await write()
    await recovery()
    assert.is(response.status, 503)
    assert.is(response.headers.get('retry-after'), '5')
    const { code } = bodyOf(response, Problem)
    // A full Redis refuses the write, or the API has already seen that it is full.
    assert.ok(code === 'dependency_unavailable' || code === 'storage_busy', code)
    await until(async () => (await write()).status === 201)
  }
  await api.close()
  await server.close()
  await rm(directory, { recursive: true })
})

test('without S3 the API responds with 503', async () => {
  const api = await startApiInstances({ environment: { BUCKET: 'millrace' } })
  const client = createHttpClient(api.url)
  await announce(client, 7)
  await api.stopCloud()
  const response = await client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 9 * 1024 ** 2 })
  assert.is(response.status, 503)
  assert.is(bodyOf(response, Problem).code, 'dependency_unavailable')
  assert.is((await client.get('/ready')).status, 503)
  await api.close()
})

test.run()
