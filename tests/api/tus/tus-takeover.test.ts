import { createHash } from 'node:crypto'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { sha256OfObject } from '../../support/object-hash.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, openPatch, patchTus, tusChecksum, tusOffset } from '../../support/tus-client.ts'
import { until } from '../../support/until.ts'

const MiB = 1024 ** 2
const test = suite('requests of one tus upload at the same time', {}, { limitMs: 60_000 })
let api: ApiInstances
/** Two instances in this process, and one that can be suspended and whose requests to S3 can be held. */
let first: string
let second: string
let third: ApiProcess
let proxy: S3Proxy

test.before(async () => {
  api = await startApiInstances({ count: 2 })
  ;[first = '', second = ''] = api.urls
  proxy = await startS3Proxy(api.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  third = await startApiProcess({
    ...api.environment,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    LOG_LEVEL: 'info',
  })
})
test.after(async () => {
  third.kill()
  await proxy.close()
  await api.close()
})
test.after.each(() => proxy.intercept(() => 'pass'))

const idOf = (path: string) => path.slice('/tus/'.length)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function originalOf(path: string): Promise<string> {
  const bucket = { Bucket: api.bucket }
  const { Contents = [] } = await api.s3.send(new ListObjectsV2Command({ ...bucket, Prefix: 'originals/' }))
  const key = Contents.map(({ Key = '' }) => Key).find((key) => key.includes(idOf(path)))
  return sha256OfObject(api.s3, { ...bucket, Key: key })
}

/** Waits until a request has the lock of an upload, or stores its last bytes. */
async function untilKey(path: string, name: 'lock' | 'ending'): Promise<void> {
  await until(async () => (await api.redis.keys(`${api.prefix}:*:tus:${idOf(path)}:${name}`)).length !== 0)
}

/** Sends bytes to the third instance, and waits until it has stored them, because no more come. */
async function sendBeforeSilence(
  patch: ReturnType<typeof openPatch>,
  bytes: Uint8Array,
  isStored: () => Promise<boolean>,
): Promise<void> {
  const stores = proxy.holdResponse(({ method, path }) => method === 'PUT' && path.includes('/unfinished/'))
  await patch.send(bytes)
  await stores.arrived
  stores.release()
  // At once, unless the bytes came so slowly that the client was silent in between.
  await until(isStored)
}

test('HEAD never ends a running PATCH, on its instance and on others, and tells only what is stored', async () => {
  const client = createHttpClient(first)
  // Together two parts.
  const pieceBytes = 600_000
  const bytes = distinctBytes(17 * pieceBytes)
  const path = await createTus(client, bytes.length)
  const patch = openPatch(client, first + path, { offset: 0, length: bytes.length })
  let told = 0
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    const piece = bytes.subarray(start, start + pieceBytes)
    if (start + pieceBytes === bytes.length) patch.end(piece)
    else await patch.send(piece)
    if (start === 0) await untilKey(path, 'lock')
    for (const base of [first, second]) {
      const offset = await tusOffset(client, path, base)
      assert.ok(offset >= told && offset <= start + pieceBytes, `${offset} after ${told}`)
      told = offset
    }
  }
  assert.is(await patch.status, 204)
  assert.is(await originalOf(path), sha256(bytes))
})

test('HEAD does not tell bytes whose checksum may still fail', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(17 * MiB)
  const path = await createTus(client, bytes.length)
  assert.is((await patchTus(client, first + path, { offset: 0, bytes: bytes.subarray(0, 5) })).status, 204)
  // The instance has sent the first part of bytes that will not match.
  const sent = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('partNumber=2'))
  const damaged = patchTus(client, third.url + path, {
    offset: 5,
    bytes: distinctBytes(bytes.length - 5),
    headers: { 'upload-checksum': tusChecksum(bytes) },
  })
  await sent.arrived
  assert.is(await tusOffset(client, path, second), 5)
  sent.release()
  assert.is((await damaged).status, 460)
  assert.is(await tusOffset(client, path, second), 5)
  const last = await patchTus(client, second + path, { offset: 5, bytes: bytes.subarray(5) })
  assert.is(last.status, 204)
  assert.is(await originalOf(path), sha256(bytes))
})

test('the next PATCH continues where a connection broke unnoticed, without waiting for it', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(9 * MiB)
  const path = await createTus(client, bytes.length)
  const dead = openPatch(client, third.url + path, { offset: 0, length: bytes.length })
  let sent = 0
  // The client is silent twice. What it sends in between is stored too.
  for (const size of [60_000, 8 * MiB]) {
    const end = sent + size
    const isStored = async () => (await tusOffset(client, path, second)) >= end
    await sendBeforeSilence(dead, bytes.subarray(sent, end), isStored)
    sent = end
  }
  const next = await patchTus(client, second + path, { offset: sent, bytes: bytes.subarray(sent) })
  assert.equal([next.status, next.offset], [204, bytes.length])
  assert.is(await dead.status, 423)
  assert.is(await originalOf(path), sha256(bytes))
})

test('a client that was silent continues in the same request, also if another one sends the same bytes', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(100_000)
  const path = await createTus(client, bytes.length)
  const patch = openPatch(client, third.url + path, { offset: 0, length: bytes.length })
  const isStored = async () => (await tusOffset(client, path, first)) >= 60_000
  await sendBeforeSilence(patch, bytes.subarray(0, 60_000), isStored)
  for (const base of [third.url, second]) {
    const late = await patchTus(client, base + path, { offset: 0, bytes })
    assert.equal([late.status, late.code], [409, 'upload_offset_mismatch'])
  }
  patch.end(bytes.subarray(60_000))
  assert.is(await patch.status, 204)
  assert.is(await originalOf(path), sha256(bytes))
})

test('HEAD waits for the last bytes of a client that is gone', async () => {
  const client = createHttpClient(first)
  const path = await createTus(client, 100_000)
  const patch = openPatch(client, third.url + path, { offset: 0, length: 100_000 })
  const stored = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/unfinished/'))
  await patch.send(distinctBytes(60_000))
  await stored.arrived
  patch.close()
  await untilKey(path, 'ending')
  const told = tusOffset(client, path, second)
  stored.release()
  assert.is(await told, 60_000)
})

test('HEAD completes an upload whose last request failed after its last byte', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(9 * MiB)
  const path = await createTus(client, bytes.length)
  proxy.intercept(({ method, path }) => (method === 'POST' && path.includes('uploadId=') ? 'deny' : 'pass'))
  const last = await patchTus(client, third.url + path, { offset: 0, bytes })
  assert.ok(last.status >= 500)
  assert.is((await readUpload(client, idOf(path))).state, 'awaiting')
  assert.is(await tusOffset(client, path, second), bytes.length)
  assert.is((await readUpload(client, idOf(path))).state, 'received')
  assert.is(await originalOf(path), sha256(bytes))
})

test('a suspended instance cannot put back bytes that another instance acknowledged', async () => {
  const client = createHttpClient(first)
  const bytes = distinctBytes(100_000)
  const path = await createTus(client, bytes.length)
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/unfinished/'))
  const patch = openPatch(client, third.url + path, { offset: 0, length: bytes.length })
  await patch.send(bytes.subarray(0, 60_000))
  await held.arrived
  third.suspend()
  // Within the lease of the suspended instance.
  const taken = await patchTus(client, second + path, { offset: 0, bytes: bytes.subarray(0, 90_000) })
  assert.equal([taken.status, taken.offset], [204, 90_000])
  const late = proxy.holdResponse(({ path }) => path.includes('/unfinished/'))
  held.release()
  await late.arrived
  late.release()
  assert.is(await tusOffset(client, path, first), 90_000)
  third.resume()
  const last = await patchTus(client, first + path, { offset: 90_000, bytes: bytes.subarray(90_000) })
  assert.is(last.status, 204)
  assert.is(await originalOf(path), sha256(bytes))
})

test.run()
