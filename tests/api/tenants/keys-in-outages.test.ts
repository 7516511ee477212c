import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { CreatedKey, KeyPage } from '@millrace/api/tenants/key-routes.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { generateKey } from '@millrace/shared/tenants/generate-key.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'

const test = suite('API keys in outages')
const { key: admin, entry } = newApiKey('acme', ['uploads:read', 'tenant'])
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

test('keys survive a loss of Redis, and are listed and revoked without Redis', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-keys-'))
  const redis = await startRedisServer({ directory })
  const environment = { API_KEYS: entry, RATE_LIMIT_TIMEOUT_MS: '100' }
  const api = await startApiInstances({ redisUrl: redis.url, environment })
  const client = createHttpClient(api.url)
  const created = await client.post('/keys', { scopes: ['uploads:read'] }, bearer(admin))
  const { key, id } = bodyOf(created, CreatedKey)

  await api.redis.flushall()
  assert.is((await client.get('/uploads', bearer(key))).status, 200)
  const list = async () => bodyOf(await client.get('/keys', bearer(admin)), KeyPage).keys
  assert.equal(
    (await list()).map((each) => each.id),
    [id],
  )

  await redis.close()
  const [listed] = await list()
  assert.equal([listed?.id, listed && 'lastUsedAt' in listed], [id, false])
  // The key is accepted; the uploads need Redis.
  assert.is((await client.get('/uploads', bearer(key))).status, 503)
  assert.is((await client.request('DELETE', `/keys/${id}`, bearer(admin))).status, 204)
  assert.is((await client.get('/uploads', bearer(key))).status, 401)
  await api.close()
  await rm(directory, { recursive: true })
})

test('an API that starts without S3 serves keys of API_KEYS, and does not refuse others', async () => {
  let proxy: S3Proxy | undefined
  let s3: S3Client | undefined
  const api = await startApiInstances({
    environment: { API_KEYS: entry },
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      proxy.intercept(() => 'refuse')
      s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      return { s3, streamingS3: s3 }
    },
  })
  const client = createHttpClient(api.url)
  assert.is((await client.get('/session', bearer(admin))).status, 200)
  const unknown = generateKey()
  const response = await client.get('/session', bearer(unknown))
  assert.equal([response.status, bodyOf(response, Problem).code], [503, 'dependency_unavailable'])
  assert.is((await client.get('/session', bearer('something.else'))).status, 401)
  const refused = await client.post('/keys', { scopes: ['uploads:read'] }, bearer(admin))
  assert.is(refused.status, 503)

  proxy?.intercept(() => 'pass')
  assert.is((await client.get('/session', bearer(unknown))).status, 401)
  await api.close()
  s3?.destroy()
  await proxy?.close()
})

test.run()
