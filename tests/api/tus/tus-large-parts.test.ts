import { createHash, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { createAdmitUpload } from '@millrace/api/announcing/admit-upload.ts'
import { createIntentCheck } from '@millrace/api/announcing/check-intent.ts'
import { createMultipartUploads } from '@millrace/api/announcing/multipart-uploads.ts'
import { createNameNetworks } from '@millrace/api/announcing/name-networks.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { createTokenUse } from '@millrace/api/tenants/token-use.ts'
import { readChecksum } from '@millrace/api/tus/tus-checksum.ts'
import { createReceiveChunk } from '@millrace/api/tus/tus-chunk.ts'
import { createTusParts } from '@millrace/api/tus/tus-parts.ts'
import { createUnsizedUploads } from '@millrace/api/tus/tus-unsized.ts'
import { createTusUploads } from '@millrace/api/tus/tus-uploads.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createAbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import { createPartBuffers } from '@millrace/shared/parts/part-buffers.ts'
import { createSendParts } from '@millrace/shared/parts/send-parts.ts'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createUnfinishedUploads } from '@millrace/shared/uploads/unfinished-uploads.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { sha256OfObject } from '../../support/object-hash.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { tusChecksum } from '../../support/tus-client.ts'

const test = suite('large parts of tus uploads')
const MiB = 1024 ** 2
const buffers = createPartBuffers({ maxBytes: 32 * MiB })
/** Files above 78 GiB have such a plan, with 1,000 even parts of 8 MiB. */
const plan = {
  partBytes: (partNumber: number) => 5 * MiB + Math.max(0, partNumber - 2) * 300_007,
  evenParts: 2,
}
/** Two even parts, two large ones, and the rest. */
const file = Buffer.from(distinctBytes(21 * MiB + 5))
const fileHash = createHash('sha256').update(file).digest('hex')
let services: ApiInstances
let tusUploads: ReturnType<typeof createTusUploads>
let receiveChunk: ReturnType<typeof createReceiveChunk>

test.before(async () => {
  services = await startApiInstances()
  const { redis, s3, streamingS3, bucket } = services
  const prefix = `test-${randomUUID()}`
  const lifecycle = createTestLifecycle({ redis, s3, bucket, prefix })
  const multipartUploads = createMultipartUploads({ s3, bucket, signer: createUrlSigner({ s3, bucket }) })
  const tusParts = createTusParts({ s3, streamingS3, bucket })
  const unsizedUploads = createUnsizedUploads({ ...lifecycle, maxUploadBytes: 1024 * MiB })
  tusUploads = createTusUploads({
    ...lifecycle,
    admitUpload: createAdmitUpload({
      ...lifecycle,
      checkIntent: createIntentCheck({ presets: builtInPresets, maxUploadBytes: 1024 * MiB }),
      multipartUploads,
      abortMultipartUploads: createAbortMultipartUploads({ s3, bucket }),
      unfinished: createUnfinishedUploads({ redis, prefix, limits: { owner: 0, address: 0 } }),
      tokenUse: createTokenUse({ redis, prefix, lookup: lifecycle.lookup }),
      nameNetworks: createNameNetworks({ key: Buffer.alloc(0) }),
      log: createLog({ level: 'silent', instance: 'test' }),
    }),
    multipartUploads,
    tusParts,
    unsizedUploads,
  })
  const sendParts = createSendParts({ buffers })
  receiveChunk = createReceiveChunk({
    ...lifecycle,
    ...{ tusUploads, tusParts, unsizedUploads, sendParts },
    planParts: () => plan,
  })
})
test.after(() => services.close())

async function createUpload(): Promise<UploadAddress> {
  const address = { owner: 's-tester', id: newUploadId() }
  const intent = { filename: 'a', contentType: 'image/png', preset: 'default', size: file.length }
  await tusUploads.create({ owner: address.owner }, address.id, intent, '')
  return address
}

/** Receives bytes like a request, from the current offset. */
async function send(
  address: UploadAddress,
  bytes: Buffer,
  options: { checksum?: string; length?: number | undefined; interruption?: AppError } = {},
): Promise<number> {
  const { checksum, length = bytes.length, interruption } = { ...options }
  const { signal } = new AbortController()
  return receiveChunk(await tusUploads.find(address), {
    bytes: Readable.from(chunksOf(bytes), { objectMode: false }),
    ...(!('length' in options && options.length === undefined) && { length }),
    interruption: () => interruption,
    checksum: readChecksum(checksum),
    holder: { owner: address.owner },
    signal,
    lost: signal,
  })
}

function* chunksOf(bytes: Buffer) {
  for (let start = 0; start < bytes.length; start += 70_001) yield bytes.subarray(start, start + 70_001)
}

const offsetOf = async (address: UploadAddress) => (await tusUploads.find(address)).offset

async function assertStored(address: UploadAddress) {
  const stored = await sha256OfObject(services.s3, { Bucket: services.bucket, Key: originalKey(address) })
  assert.is(stored, fileHash)
  assert.ok(buffers.heldBytes() <= 16 * MiB, 'only even parts were collected')
}

for (const withChecksum of [false, true]) {
  const name = withChecksum ? 'with checksums' : 'without checksums'
  test(`a file is sent in one request ${name}`, async () => {
    const address = await createUpload()
    const checksum = withChecksum ? { checksum: tusChecksum(file) } : {}
    assert.is(await send(address, file, checksum), file.length)
    await assertStored(address)
  })

  test(`a file is sent in requests that end anywhere ${name}`, async () => {
    const address = await createUpload()
    const ends = [3 * MiB, 10 * MiB, 11 * MiB, 12 * MiB + 3, 16 * MiB, 16 * MiB + 1, file.length]
    for (const end of ends) {
      const offset = await offsetOf(address)
      const bytes = file.subarray(offset, end)
      assert.is(await send(address, bytes, withChecksum ? { checksum: tusChecksum(bytes) } : {}), end)
    }
    await assertStored(address)
  })
}

test('a request that is cut within a large part keeps the whole parts and the earlier bytes', async () => {
  const address = await createUpload()
  await send(address, file.subarray(0, 11 * MiB))
  const interruption = new AppError('upload_locked')
  for (const [length, expected] of [
    [MiB, 11 * MiB],
    [9 * MiB, 2 * 5 * MiB + 5 * MiB + 300_007],
  ] as const) {
    const offset = await offsetOf(address)
    const cut = file.subarray(offset, offset + length)
    const error = await send(address, cut, { length: length + 9 * MiB, interruption }).catch((error) => error)
    assert.is(error, interruption)
    assert.is(await offsetOf(address), expected)
  }
  await send(address, file.subarray(await offsetOf(address)))
  await assertStored(address)
})

test('bytes of large parts that do not match their checksum do not change the offset', async () => {
  const address = await createUpload()
  await send(address, file.subarray(0, 11 * MiB))
  for (const end of [12 * MiB, 20 * MiB, file.length]) {
    const damaged = file.subarray(0, end - 11 * MiB)
    const error = await send(address, damaged, { checksum: tusChecksum(file) }).catch((error) => error)
    assert.is(error.code, 'chunk_checksum_mismatch')
    assert.is(await offsetOf(address), 11 * MiB)
  }
  await send(address, file.subarray(11 * MiB))
  await assertStored(address)
})

test('a request of unknown length is refused for a file with large parts', async () => {
  const address = await createUpload()
  const error = await send(address, file, { length: undefined }).catch((error) => error)
  assert.is(error.code, 'invalid_request')
  assert.match(error.message, 'Content-Length is required')
})

test.run()
