import { ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { ErasureView } from '@millrace/api/tenants/user-routes.ts'
import { erasuresPrefix, originalKey, userKey } from '@millrace/shared/ledger/object-keys.ts'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { createUserErasures } from '@millrace/shared/tenants/user-erasures.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('erasing a user on an instance that dies', {}, { limitMs: 60_000 })
const shop = newApiKey('shop', ['tenant'])
const authorization = `Bearer ${shop.key}`
/** More than are erased at once. */
const uploads = 20
let api: ApiInstances
let proxy: S3Proxy
/** The client of the instances in this process. It reaches S3 through the proxy. */
let s3: S3Client
/** An instance that a test kills. */
let dying: ApiProcess | undefined

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: { API_KEYS: shop.entry },
    connectS3: async (access) => {
      proxy = await startS3Proxy(access.endpoint)
      s3 = new S3Client({ ...access, endpoint: proxy.endpoint })
      return { s3, streamingS3: s3 }
    },
  })
})
test.after(async () => {
  dying?.kill()
  await api.close()
  s3.destroy()
  await proxy.close()
})

async function storeUploads(user: string): Promise<string> {
  const owner = await createTenantUsers(api).record('shop', user)
  for (let n = 0; n < uploads; n++) {
    const Key = originalKey({ owner, id: newUploadId() })
    await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '1234567' }))
  }
  return owner
}

const erase = (user: string, base = api.url) =>
  createHttpClient(base).request('DELETE', `/users?user=${user}`, { headers: { authorization } })

async function count(prefix: string): Promise<number> {
  const { KeyCount } = await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: prefix }))
  return KeyCount ?? 0
}

/** Erases a user on an instance that is killed in the middle. */
async function eraseAndDie(user: string): Promise<string> {
  const owner = await storeUploads(user)
  const instance = await startApiProcess({
    ...api.environment,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    LOG_LEVEL: 'info',
  })
  dying = instance
  let deletions = 0
  const response = proxy.holdResponse(({ method, path }) => {
    if (method === 'POST' && path.includes('?delete')) deletions += 1
    return deletions === 10
  })
  const lost = erase(user, instance.url).then(
    () => assert.unreachable('the killed instance responded'),
    () => undefined,
  )
  await response.arrived
  instance.kill()
  await lost
  response.release()
  const left = await count(`originals/${owner}/`)
  assert.ok(left > 0 && left < uploads, `${left} uploads are left`)
  assert.is(await count(userKey(owner)), 1)
  // The lease of the dead instance would end by itself some seconds later.
  await api.redis.del(`${api.prefix}:{${owner}}:erasing`)
  return owner
}

/** Checks that nothing is left, and that each upload was erased and counted once. */
async function checkErased(owner: string): Promise<void> {
  assert.is(await count(`originals/${owner}/`), 0)
  assert.is(await count(userKey(owner)), 0)
  assert.is(await count(`${erasuresPrefix}${owner}/`), uploads)
  const receipt = await createUserErasures(api).lastFinished(owner)
  assert.equal([receipt?.uploads, receipt?.versions, receipt?.bytes], [uploads, uploads, 7 * uploads])
  assert.is(await createUserErasures(api).running(owner), undefined)
}

test('a repeated request continues the erasure, and its receipt counts everything', async () => {
  const owner = await eraseAndDie('ada')
  const running = await createUserErasures(api).running(owner)
  const repeated = await erase('ada')
  assert.is(repeated.status, 200, JSON.stringify(repeated.body))
  assert.is(bodyOf(repeated, ErasureView).id, `${owner.slice(-32)}-${running?.id}`)
  await checkErased(owner)
})

test('an instance that starts continues the erasure without a request', async () => {
  const owner = await storeUploads('bob')
  const counts = { uploads: 0, versions: 0, bytes: 0, countedUpTo: '' }
  const startedAt = new Date().toISOString()
  await createUserErasures(api).save({ version: 1, id: newUploadId(), owner, startedAt, ...counts })
  await api.startInstance()
  await until(async () => (await createUserErasures(api).lastFinished(owner)) !== undefined)
  await checkErased(owner)
})

test('while one instance erases a user, a repeated request tells that it is running', async () => {
  const owner = await storeUploads('cora')
  const held = proxy.holdResponse(({ method, path }) => method === 'POST' && path.includes('?delete'))
  const finished = erase('cora')
  await held.arrived
  const repeated = await erase('cora', api.urls[1])
  assert.is(repeated.status, 202)
  const { id, state } = bodyOf(repeated, ErasureView)
  assert.equal([state, repeated.headers.get('location')], ['running', `/erasures/${id}`])
  held.release()
  assert.is(bodyOf(await finished, ErasureView).id, id)
  await checkErased(owner)
})

test.run()
