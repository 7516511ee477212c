import { createHash } from 'node:crypto'
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createTusLocks } from '@millrace/api/tus/tus-lock.ts'
import { createTusParts } from '@millrace/api/tus/tus-parts.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'
import { createTus, patchTus } from '../../support/tus-client.ts'

const test = suite('headers and stored bytes of tus')
const address = () => ({ owner: 's-tester', id: newUploadId() })
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

function head(client: HttpClient, path: string) {
  return client.request('HEAD', path, { headers: { 'tus-resumable': '1.0.0' } })
}

/** Lists the versions of an upload's original. */
async function originals(id: string) {
  const { Versions = [] } = await api.s3.send(
    new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: 'originals/' }),
  )
  return Versions.filter(({ Key = '' }) => Key.endsWith(id))
}

test('Upload-Expires is a week after the upload was created', async () => {
  const client = createHttpClient(api.url)
  const path = await createTus(client, 6)
  const createdAtMs = uploadIdTimeMs(path.slice('/tus/'.length))
  const patched = await client.request('PATCH', path, {
    headers: {
      ...{ 'tus-resumable': '1.0.0', 'upload-offset': '0' },
      'content-type': 'application/offset+octet-stream',
    },
    body: '123',
  })
  const expiresAtMs = Date.parse(patched.headers.get('upload-expires') ?? '')
  // The header has whole seconds, and the record is made some milliseconds after the id.
  assert.ok(
    Math.abs(expiresAtMs - createdAtMs - openUploadLifeMs) < 60_000,
    `${expiresAtMs - createdAtMs} ms`,
  )
})

test('HEAD tells the offset of a whole file also when more than a week has passed', async () => {
  const client = createHttpClient(api.url)
  const path = await createTus(client, 6)
  await patchTus(client, api.url + path, { offset: 0, bytes: new Uint8Array(6) })
  const [address] = (await originals(path.slice('/tus/'.length))).map(({ Key = '' }) => parseOriginalKey(Key))
  assert.ok(address)
  const createdAt = new Date(Date.now() - openUploadLifeMs - 60_000).toISOString()
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  await records.update(address, (upload) => ({ ...upload, createdAt }))
  const { status, headers } = await head(client, path)
  assert.equal([status, headers.get('upload-offset')], [200, '6'])
})

test('Upload-Metadata may have exactly 8,192 bytes', async () => {
  const client = createHttpClient(api.url)
  const post = (bytes: number) =>
    client.request('POST', '/tus', {
      headers: {
        ...{ 'tus-resumable': '1.0.0', 'upload-length': '5' },
        // A name that is not kept with the file. Spaces between name and value count, although they are not stored.
        'upload-metadata': 'relativePath'.padEnd(bytes - 8_000) + 'YWFh'.repeat(2_000),
      },
    })
  assert.is((await post(8_192)).status, 201)
  const refused = await post(8_193)
  assert.equal([refused.status, bodyOf(refused, Problem).limit], [400, 8_192])
})

test('X-HTTP-Method-Override allows only the methods of an upload', async () => {
  const client = createHttpClient(api.url)
  const path = await createTus(client, 5)
  for (const override of ['', 'GET', 'POST', 'PUT', 'OPTIONS']) {
    const response = await client.request('POST', path, {
      headers: { 'tus-resumable': '1.0.0', 'x-http-method-override': override },
    })
    assert.equal([response.status, bodyOf(response, Problem).code], [404, 'upload_not_found'], override)
  }
})

test('the original of a file that fits into one part is stored once', async () => {
  const tusParts = createTusParts(api)
  const target = address()
  const intent = { filename: 'a', contentType: 'a/b', preset: 'default', size: 4 }
  for (const text of ['once', 'more']) await tusParts.putOriginal(target, intent, Buffer.from(text))
  assert.equal(
    (await originals(target.id)).map(({ ETag }) => ETag),
    [`"${createHash('md5').update('once').digest('hex')}"`],
  )
})

test('unfinished bytes are replaced only by a request that knows them', async () => {
  const tusParts = createTusParts(api)
  const target = address()
  const { signal } = new AbortController()
  const put = (text: string, replaces: Awaited<ReturnType<typeof tusParts.findUnfinished>>) =>
    tusParts.putUnfinished(target, { partNumber: 1, bytes: Buffer.from(text) }, { replaces, signal })
  const codeOf = (error: { code?: unknown }) => error.code
  const first = await put('12', undefined)
  assert.is(await put('1', undefined).catch(codeOf), 'upload_locked')
  const second = await put('1234', first)
  assert.is(await put('123', first).catch(codeOf), 'upload_locked')
  assert.equal(await tusParts.findUnfinished(target), second)
  assert.is(second.size, 4)
})

test('exactly the first bytes of unfinished ones are read', async () => {
  const tusParts = createTusParts(api)
  const target = address()
  const { signal } = new AbortController()
  const part = { partNumber: 1, bytes: Buffer.from('123456') }
  await tusParts.putUnfinished(target, part, { replaces: undefined, signal })
  for (const length of [1, 5, 6]) {
    const chunks: Uint8Array[] = []
    for await (const chunk of await tusParts.readUnfinished(target, length)) chunks.push(chunk)
    assert.is(Buffer.concat(chunks).toString(), '123456'.slice(0, length))
  }
  const error = await tusParts.readUnfinished(target, 7).catch((error) => error)
  assert.is(error.code, 'conflict')
})

test('the lock of a holder that died remains for at most 6 seconds', async () => {
  const log = createLog({ level: 'silent', instance: 'test' })
  const subscriber = openSubscriber(api.environment['REDIS_URL'] ?? '')
  const locks = createTusLocks({ redis: api.redis, subscriber, prefix: api.prefix, log })
  const target = address()
  const { signal } = new AbortController()
  const lock = await locks.acquire(target, { signal, onWanted: () => undefined })
  const leftMs = await api.redis.pttl(`${api.prefix}:{${target.owner}}:tus:${target.id}:lock`)
  await lock.release()
  subscriber.disconnect()
  // Less has passed than the lease is renewed in.
  assert.ok(leftMs <= 6_000 && leftMs > 3_000, `${leftMs} ms`)
})

test.run()
