import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { localCredentials, localRegion } from '../support/contract-target.ts'
import { send, signedRequest } from '../support/raw-http.ts'
import { startServerProcess } from '../support/s3-server-process.ts'

// Local only: measures the server's process. MILLRACE_S3_LARGE_BYTES sets the size, up to S3's 5 GiB (5368709120).

/** A server that kept the object would need more than is allowed below. */
const size = Number(process.env['MILLRACE_S3_LARGE_BYTES'] ?? 192 * 1024 ** 2)
const chunkBytes = 1024 ** 2
/** A bare Node process has some 60 MiB; buffers and the SDK's hashes are added to that, independent of the size. */
const maxRssMebibytes = 250
const Bucket = 'large-bucket'

/** Yields the object's bytes, different in each mebibyte. */
function* pieces(): Generator<Buffer> {
  for (let offset = 0; offset < size; offset += chunkBytes) {
    const piece = Buffer.alloc(Math.min(chunkBytes, size - offset), offset / chunkBytes)
    piece.writeUInt32BE(offset / chunkBytes)
    yield piece
  }
}

const directory = await mkdtemp(join(tmpdir(), 'millrace-s3-'))
const server = await startServerProcess(directory)
const target = { endpoint: server.endpoint, region: localRegion, credentials: localCredentials }
const { hostname, port } = new URL(server.endpoint)

const test = suite('S3 large objects', {}, { limitMs: 30_000 + size / 20_000 })
test.after(async () => {
  await server.kill()
  await rm(directory, { recursive: true })
})

test('PUT and GET of a large object use constant memory', async () => {
  await server.client.createBucket({ Bucket, CreateBucketConfiguration: { LocationConstraint: localRegion } })
  const signed = signedRequest(target, {
    method: 'PUT',
    path: `/${Bucket}/large`,
    payload: 'UNSIGNED-PAYLOAD',
    headers: { 'content-length': String(size) },
  })
  const started = performance.now()
  const put = request({
    hostname,
    port,
    method: 'PUT',
    path: signed.path,
    headers: signed.headers,
    agent: false,
  })
  const responded = once(put, 'response')
  let sent = 0
  for (const piece of pieces()) {
    sent = crc32(piece, sent)
    if (!put.write(piece)) await once(put, 'drain')
  }
  put.end()
  const [response] = await responded
  assert.is(response.statusCode, 200)
  response.resume()
  const uploaded = performance.now()

  const get = signedRequest(target, { method: 'GET', path: `/${Bucket}/large` })
  const reading = request({
    hostname,
    port,
    method: 'GET',
    path: get.path,
    headers: get.headers,
    agent: false,
  })
  reading.end()
  const [body] = await once(reading, 'response')
  assert.is(body.headers['content-length'], String(size))
  let received = 0
  for await (const chunk of body) received = crc32(chunk, received)
  assert.is(received, sent)
  const downloaded = performance.now()

  const speed = (milliseconds: number) => Math.round(size / 1024 ** 2 / (milliseconds / 1000))
  const rss = await server.peakRssMebibytes()
  console.log(
    `${size / 1024 ** 2} MiB: PUT ${speed(uploaded - started)} MiB/s, GET ${speed(downloaded - uploaded)} MiB/s, peak RSS ${Math.round(rss)} MiB`,
  )
  assert.ok(rss < maxRssMebibytes, `the server used ${rss} MiB`)
})

test('a range at the end of a large object is returned', async () => {
  const path = `/${Bucket}/large`
  const range = { range: `bytes=${size - 4}-` }
  const response = await send(
    server.endpoint,
    signedRequest(target, { method: 'GET', path, unsigned: range }),
  )
  assert.equal([response.status, response.headers['content-length']], [206, '4'])
})

test.run()
