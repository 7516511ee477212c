import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { S3Client } from '@aws-sdk/client-s3'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createPartBuffers } from '@millrace/shared/parts/part-buffers.ts'
import { createSendParts } from '@millrace/shared/parts/send-parts.ts'
import { createStoreOriginal } from '@millrace/shared/parts/store-original.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'

const test = suite('store original')
const target = await openContractTarget()
const { client, bucket } = target
const partBytes = 5 * 1024 ** 2
const intent = { filename: 'a.bin', contentType: 'application/octet-stream', size: 0, preset: 'default' }
const rejected = new Error('rejected')
const isOpening = ({ method, path }: SeenRequest) => method === 'POST' && /\?uploads/.test(path)
let proxy: S3Proxy
let s3: S3Client
let streamingS3: S3Client

test.before(async () => {
  const endpoint = await client.config.endpoint?.()
  if (!endpoint) throw new Error('The contract target has no endpoint.')
  const { protocol, hostname, port } = endpoint
  proxy = await startS3Proxy(`${protocol}//${hostname}:${port}`)
  const { region, credentials } = client.config
  streamingS3 = connectStreamingS3({ endpoint: `${protocol}//${hostname}:${port}`, region, credentials })
  s3 = new S3Client({ endpoint: proxy.endpoint, region, credentials, forcePathStyle: true, maxAttempts: 2 })
})
test.after(async () => {
  streamingS3.destroy()
  s3.destroy()
  await proxy.close()
  await target.close()
})

const buffers = createPartBuffers({ maxBytes: 32 * 1024 ** 2 })
const storeOriginal = () =>
  createStoreOriginal({
    s3,
    streamingS3,
    sendParts: createSendParts({ buffers }),
    bucket,
    log: { warn: () => undefined },
    sizes: { put: 6 * 1024 ** 2, streamedPart: partBytes, bufferedPart: partBytes },
  })

async function openUploads({ id }: { id: string }): Promise<number> {
  const { Uploads = [] } = await client.listMultipartUploads({ Bucket: bucket })
  return Uploads.filter(({ Key }) => Key?.includes(id)).length
}

/** Stores one part's bytes, then rejects the file when `afterFirstPart` rejects. */
async function storeRejected(afterFirstPart: () => Promise<never>, signal = new AbortController().signal) {
  const address = { owner: 'tester', id: newUploadId() }
  const storing = storeOriginal().ofUnknownSize(address, intent, {
    chunks: (async function* () {
      yield Buffer.alloc(partBytes)
      await afterFirstPart()
    })(),
    limitBytes: 10 * partBytes,
    beforeCommit: async () => undefined,
    buffering: { holder: {}, signal },
  })
  const outcome = await storing.then(
    () => 'stored',
    (error: unknown) => error,
  )
  return { outcome, open: await openUploads(address) }
}

test('a file rejected while S3 opens its multipart upload leaves no open multipart upload', async () => {
  const opening = proxy.holdResponse(isOpening)
  const aborting = new AbortController()
  const { outcome, open } = await storeRejected(async () => {
    await opening.arrived
    aborting.abort(rejected)
    opening.release()
    throw rejected
  }, aborting.signal)
  assert.is(outcome, rejected)
  assert.is(open, 0)
})

test('a file whose multipart upload was opened, but whose response was lost, leaves none open', async () => {
  proxy.intercept((seen) => (isOpening(seen) ? 'cut' : 'pass'))
  const waiting = Promise.withResolvers<never>()
  const { outcome, open } = await storeRejected(async () => {
    setImmediate(() => waiting.reject(rejected))
    return waiting.promise
  })
  proxy.intercept(() => 'pass')
  assert.instance(outcome, Error)
  assert.is(open, 0)
})

for (const [size, parts] of [
  [0.5, undefined],
  [1.2, undefined],
  [1.3, '-2'],
  [3, '-3'],
] as const) {
  test(`a file of known size is streamed ${parts ? 'in parts' : 'with one PUT'} without buffers: ${size} parts`, async () => {
    const address = { owner: 'tester', id: newUploadId() }
    const bytes = randomBytes(size * partBytes)
    const heldBefore = buffers.heldBytes()
    const body = Readable.from(chunksOf(bytes), { objectMode: false })
    const { signal } = new AbortController()
    const arrival = await storeOriginal().ofKnownSize(
      address,
      { ...intent, size: bytes.length },
      body,
      signal,
    )
    assert.is(arrival.size, bytes.length)
    assert.is(/-\d+$/.exec(arrival.etag)?.[0], parts)
    const { Body } = await client.getObject({ Bucket: bucket, Key: originalKey(address) })
    assert.ok(bytes.equals((await Body?.transformToByteArray()) ?? new Uint8Array()))
    assert.is(buffers.heldBytes(), heldBefore)
    assert.is(await openUploads(address), 0)
  })
}

function* chunksOf(bytes: Buffer) {
  for (let start = 0; start < bytes.length; start += 100_003) yield bytes.subarray(start, start + 100_003)
}

test('a stream that ends or fails within a part stores nothing and leaves no multipart upload', async () => {
  for (const failure of [undefined, rejected]) {
    const address = { owner: 'tester', id: newUploadId() }
    const size = 3 * partBytes
    async function* read() {
      yield* chunksOf(randomBytes(1.5 * partBytes))
      if (failure) throw failure
    }
    const body = Readable.from(read(), { objectMode: false })
    const { signal } = new AbortController()
    const error = await storeOriginal()
      .ofKnownSize(address, { ...intent, size }, body, signal)
      .then(
        () => assert.unreachable(),
        (error: unknown) => error,
      )
    assert.match(String(error), failure ? 'rejected' : 'ended before its last byte')
    assert.is(await openUploads(address), 0)
    const { KeyCount } = await client.listObjectsV2({ Bucket: bucket, Prefix: originalKey(address) })
    assert.is(KeyCount, 0)
  }
})

test('a file of unknown size above S3’s 10,000 parts is refused', async () => {
  const address = { owner: 'tester', id: newUploadId() }
  const length = { value: 8 * 1024 ** 2 * 10_000 + 1 }
  const storing = storeOriginal().ofUnknownSize(address, intent, {
    chunks: (async function* () {
      yield Object.defineProperty(Buffer.alloc(0), 'length', length)
    })(),
    limitBytes: 5 * 1024 ** 4,
    beforeCommit: async () => undefined,
    buffering: { holder: {}, signal: new AbortController().signal },
  })
  const error = await storing.then(
    () => assert.unreachable(),
    (error: unknown) => error,
  )
  assert.match(String(error), 'has more than 83886080000 bytes')
})

test.run()
