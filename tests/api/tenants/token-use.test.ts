import { randomUUID } from 'node:crypto'
import { createTokenUse } from '@millrace/api/tenants/token-use.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { arrivalGraceMs, type Upload, type UploadState } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { FoundUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('use of upload tokens')
const owner = `u-${'a'.repeat(16)}-${'b'.repeat(32)}`
const prefix = `test-${randomUUID()}`
const found = new Map<string, FoundUpload>()
let redis: Redis
let tokenUse: ReturnType<typeof createTokenUse>
let nextToken = 1

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
  tokenUse = createTokenUse({ redis, prefix, lookup: { find: async ({ id }) => found.get(id) } })
})
test.after(() => redis.disconnect())

const newCaller = (limits: { maxFiles?: number; maxBytes?: number }, endsInMs = 60_000) => ({
  id: `token-${nextToken++}`,
  endsAtMs: Date.now() + endsInMs,
  limits,
})
const newAddress = () => ({ owner, id: newUploadId() })
const inMs = (ms: number) => Date.now() + ms
/** A time of expiry after which an upload is overdue. */
const overdue = () => inMs(-arrivalGraceMs - 1_000)

/** Makes an upload known in a state, with or without bytes. */
function know(id: string, state: UploadState, { expiresAtMs = overdue(), hasArrived = false } = {}): Upload {
  const at = new Date().toISOString()
  const upload: Upload = {
    ...{ id, owner, state, findings: {}, variants: [], createdAt: at, updatedAt: at },
    intent: { filename: 'a', contentType: 'a/b', size: 7, preset: 'default' },
    expiresAt: new Date(expiresAtMs).toISOString(),
    ...(hasArrived && { arrival: { etag: 'e', size: 7 } }),
  }
  found.set(id, { upload, revision: 1, isChecked: true })
  return upload
}

async function refusalOf(work: Promise<void>) {
  try {
    await work
    return undefined
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return [error.code, error.limit, error.remaining]
  }
}

test('files and bytes are counted until the limit, and a second call for an upload changes its size', async () => {
  const caller = newCaller({ maxFiles: 2, maxBytes: 100 })
  const [first, second, third] = [newAddress(), newAddress(), newAddress()]
  await tokenUse.reserve(caller, first, 60, inMs(1_000))
  assert.equal(await refusalOf(tokenUse.reserve(caller, second, 41, inMs(1_000))), ['token_used_up', 100, 40])
  await tokenUse.reserve(caller, first, 50, inMs(1_000))
  await tokenUse.reserve(caller, second, 0, inMs(1_000))
  assert.equal(await refusalOf(tokenUse.reserve(caller, second, 51, inMs(1_000))), ['token_used_up', 100, 50])
  await tokenUse.reserve(caller, second, 50, inMs(1_000))
  assert.equal(await refusalOf(tokenUse.reserve(caller, third, 0, inMs(1_000))), ['token_used_up', 2, 0])
  await tokenUse.cancel(caller, second)
  await tokenUse.cancel(caller, second)
  await tokenUse.reserve(caller, third, 50, inMs(1_000))
  // The second cancellation, and those of uploads that hold nothing, gave nothing back.
  await tokenUse.cancel(caller, second)
  await tokenUse.cancel(caller, newAddress())
  assert.equal(await refusalOf(tokenUse.reserve(caller, newAddress(), 0, inMs(1_000))), [
    'token_used_up',
    2,
    0,
  ])
})

test('sizes beyond 32 bits are counted exactly', async () => {
  const large = 2 ** 50
  const caller = newCaller({ maxBytes: large + 2 })
  await tokenUse.reserve(caller, newAddress(), large, inMs(1_000))
  await tokenUse.reserve(caller, newAddress(), 1, inMs(1_000))
  assert.equal(await refusalOf(tokenUse.reserve(caller, newAddress(), 2, inMs(1_000))), [
    'token_used_up',
    large + 2,
    1,
  ])
})

const overdueUploads: [name: string, prepare: (id: string) => void, counts: boolean][] = [
  ['that is unknown by then', () => undefined, false],
  ['that has expired', (id) => know(id, 'awaiting'), false],
  ['whose import failed without a file', (id) => know(id, 'failed'), false],
  ['that is being sent for a long time', (id) => know(id, 'awaiting', { expiresAtMs: inMs(60_000) }), true],
  ['that has arrived', (id) => know(id, 'received', { hasArrived: true }), true],
  ['that was rejected', (id) => know(id, 'rejected', { hasArrived: true }), true],
]
for (const [name, prepare, counts] of overdueUploads) {
  test(`an overdue upload ${name} ${counts ? 'still counts' : 'stops counting'}`, async () => {
    const caller = newCaller({ maxFiles: 1 })
    const address = newAddress()
    await tokenUse.reserve(caller, address, 7, overdue())
    prepare(address.id)
    for (let n = 0; n < 2; n++) {
      const next = newAddress()
      const refusal = await refusalOf(tokenUse.reserve(caller, next, 7, inMs(60_000)))
      assert.equal(refusal, counts ? ['token_used_up', 1, 0] : undefined)
      await tokenUse.cancel(caller, next)
    }
  })
}

test('however many long files are being sent, an upload that has expired stops counting', async () => {
  const longFiles = 64
  const caller = newCaller({ maxFiles: longFiles + 1 })
  for (let n = 0; n < longFiles; n++) {
    const address = newAddress()
    know(address.id, 'awaiting', { expiresAtMs: inMs(60_000) })
    await tokenUse.reserve(caller, address, 7, overdue())
  }
  const expired = newAddress()
  know(expired.id, 'awaiting')
  await tokenUse.reserve(caller, expired, 7, overdue())
  assert.is(await refusalOf(tokenUse.reserve(caller, newAddress(), 7, inMs(60_000))), undefined)
})

test('an erased upload stops counting only if its file has not arrived', async () => {
  for (const hasArrived of [false, true]) {
    const caller = newCaller({ maxFiles: 1 })
    const address = newAddress()
    await tokenUse.reserve(caller, address, 7, overdue())
    const upload = know(address.id, hasArrived ? 'ready' : 'awaiting', { hasArrived })
    await tokenUse.onErased({ ...upload, token: caller.id })
    found.delete(address.id)
    const refusal = await refusalOf(tokenUse.reserve(caller, newAddress(), 7, inMs(1_000)))
    assert.is(refusal?.[0], hasArrived ? 'token_used_up' : undefined)
  }
})

test('the counts expire a day after the token, and tokens without such limits have none', async () => {
  const caller = newCaller({ maxFiles: 5 }, 60_000)
  await tokenUse.reserve(caller, newAddress(), 7, inMs(1_000))
  const keys = await redis.keys(`${prefix}:{${owner}}:${caller.id}:*`)
  assert.is(keys.length, 2)
  const lifeMs = 24 * 60 * 60 * 1000 + 60_000
  for (const key of keys) {
    const leftMs = await redis.pttl(key)
    assert.ok(leftMs > lifeMs - 10_000 && leftMs <= lifeMs, String(leftMs))
  }
  const before = await redis.keys(`${prefix}:*`)
  await tokenUse.reserve({ ...newCaller({}), limits: { maxFileBytes: 1 } }, newAddress(), 7, inMs(1_000))
  await tokenUse.reserve(undefined, newAddress(), 7, inMs(1_000))
  await tokenUse.cancel({ ...newCaller({}), limits: { maxFileBytes: 1 } }, newAddress())
  await tokenUse.cancel(undefined, newAddress())
  assert.equal((await redis.keys(`${prefix}:*`)).sort(), before.sort())
})

test.run()
