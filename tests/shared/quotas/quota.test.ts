import { randomUUID } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Original } from '@millrace/shared/ledger/originals.ts'
import { createAddressQuota } from '@millrace/shared/quotas/address-quota.ts'
import { createQuota } from '@millrace/shared/quotas/quota.ts'
import { createQuotaReservations, type QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { arrivalGraceMs } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('quota of an owner')
const hourMs = 60 * 60 * 1000
const owner = 'someone'
const home = [{ name: 'home', share: 1 }]
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

/** A quota whose S3 has the sizes of `arrived`, by id. */
function create(limits: QuotaLimits, options: { onListing?: () => Promise<void> } = {}) {
  const arrived = new Map<string, number>()
  const s3 = new S3Client({ region: 'local', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  s3.middlewareStack.add(
    () => async () => {
      const Contents = [...arrived].map(([id, Size]) => ({ Key: originalKey({ owner, id }), Size }))
      await options.onListing?.()
      return { response: {}, output: { $metadata: {}, Contents } }
    },
    { step: 'initialize' },
  )
  const reservations = createQuotaReservations({ redis, prefix })
  const addressQuota = createAddressQuota({ redis, prefix, limits: { bytesPerDay: 100 } })
  const find = async ({ id }: { id: string }): Promise<Original | undefined> => {
    const size = arrived.get(id)
    const intent = { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' }
    return size === undefined ? undefined : { arrival: { etag: 'e', size }, intent, isCopy: false }
  }
  let askedNetworks = 0
  const records = {
    networksOf: async () => {
      askedNetworks += 1
      return home
    },
  }
  const quota = createQuota({
    reservations,
    limits,
    addressQuota,
    records,
    originals: { find },
    s3,
    bucket: 'bucket',
  })
  return { ...quota, arrived, reservations, addressQuota, askedNetworks: () => askedNetworks }
}

const upload = () => ({ owner, id: newUploadId() })
const key = (name: string) => `${prefix}:{${owner}}:quota${name}`
const held = () => redis.hgetall(key(':held'))
const total = () => redis.hmget(key(''), 'bytes', 'files')

async function refusal(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AppError)) throw new Error('It was not refused.', { cause: error })
  return [error.code, error.limit, error.remaining]
}

test('a reservation lasts until no request can complete its upload any more', async () => {
  const { reserve, extend } = create({ filesTotal: 5 })
  const address = upload()
  const expiresAtMs = Date.now() + hourMs
  await reserve(address, 7, expiresAtMs)
  assert.is(await redis.zscore(key(':open'), address.id), String(expiresAtMs + arrivalGraceMs))
  await extend(address, expiresAtMs + hourMs)
  assert.is(await redis.zscore(key(':open'), address.id), String(expiresAtMs + hourMs + arrivalGraceMs))
})

test('an overdue upload has its size in S3, and is released if S3 does not have it', async () => {
  const { reserve, arrived } = create({ bytesTotal: 100 })
  const [came, lost] = [upload(), upload()]
  const longAgo = Date.now() - arrivalGraceMs - 1
  await reserve(came, 7, Date.now() + hourMs)
  await reserve(lost, 8, Date.now() + hourMs)
  await redis.zadd(key(':open'), longAgo, came.id, longAgo, lost.id)
  arrived.set(came.id, 5)
  const next = upload()
  await reserve(next, 1, Date.now() + hourMs)
  assert.equal(await held(), { [came.id]: '5', [next.id]: '1' })
  assert.equal(await total(), ['6', '2'])
})

test('all overdue uploads are checked before one is refused', async () => {
  const { reserve } = create({ filesTotal: 65 })
  const uploads = Array.from({ length: 65 }, upload)
  for (const each of uploads) await reserve(each, 1, Date.now() + hourMs)
  assert.equal(await refusal(reserve(upload(), 1, Date.now() + hourMs)), ['quota_exceeded', 65, 0])
  await redis.zadd(key(':open'), ...uploads.slice(0, 64).flatMap(({ id }) => [1, id]))
  await reserve(upload(), 1, Date.now() + hourMs)
  assert.equal(await total(), ['2', '2'])
})

test('a file that arrives while S3 is listed stays counted, and one that S3 lost is released', async () => {
  const late = upload()
  const { reserve, reservations, arrived } = create(
    { bytesTotal: 100 },
    {
      // The listing does not have it, since it arrives afterwards.
      async onListing() {
        await reservations.adopt(owner, [], Date.now())
        await reservations.reserve(late, 9, Date.now() + hourMs, {})
        await reservations.confirm(late, 9)
      },
    },
  )
  const [listed, missing, next] = [upload(), upload(), upload()]
  arrived.set(listed.id, 5)
  await reservations.adopt(owner, [{ id: missing.id, bytes: 50 }], Date.now())
  await redis.del(key(':whole'))
  await reserve(next, 1, Date.now() + hourMs)
  assert.equal(await held(), { [listed.id]: '5', [late.id]: '9', [next.id]: '1' })
  assert.equal(await total(), ['15', '3'])
})

test('a changed size counts to the address as well, by the difference and for the day of the announcement', async () => {
  const { reserve, resize, addressQuota } = create({ bytesTotal: 1000 })
  const address = upload()
  await addressQuota.reserve(home, { bytes: 10, files: 1 }, Date.now())
  await reserve(address, 10, Date.now() + hourMs)
  await resize(address, { from: 10, to: 100 }, Date.now() + hourMs)
  assert.equal(await refusal(resize(address, { from: 100, to: 101 }, Date.now() + hourMs)), [
    'quota_exhausted_today',
    100,
    0,
  ])
  await resize(address, { from: 100, to: 30 }, Date.now() + hourMs)
  const [day = ''] = await redis.keys(`${prefix}:quota:*`)
  assert.equal(await redis.hgetall(day), { bytes: '30', files: '1' })
  assert.equal(await held(), { [address.id]: '30' })
})

test('without a limit nothing is counted, and one limit of four is enough to count', async () => {
  const none = {
    bytesTotal: undefined,
    filesTotal: undefined,
    bytesPerDay: undefined,
    filesPerDay: undefined,
  }
  const unlimited = create(none)
  await unlimited.reserve(upload(), 7, Date.now() + hourMs)
  assert.equal(await redis.keys(`${prefix}:*`), [])
  const limited = create({ ...none, filesTotal: 1 })
  await limited.reserve(upload(), 7, Date.now() + hourMs)
  const another = limited.reserve(upload(), 7, Date.now() + hourMs)
  assert.equal(await refusal(another), ['quota_exceeded', 1, 0])
})

test('a size that does not change adds nothing to the address', async () => {
  const { reserve, resize, askedNetworks } = create({ bytesTotal: 1000 })
  const address = upload()
  await reserve(address, 10, Date.now() + hourMs)
  await resize(address, { from: 10, to: 10 }, Date.now() + hourMs)
  assert.is(askedNetworks(), 0)
  await resize(address, { from: 10, to: 11 }, Date.now() + hourMs)
  assert.is(askedNetworks(), 1)
})

test('erasing releases an upload but not its day; a failed announcement releases both', async () => {
  const { reserve, release, cancel } = create({ filesTotal: 5, filesPerDay: 5 })
  const [erased, failed] = [upload(), upload()]
  for (const each of [erased, failed]) await reserve(each, 7, Date.now() + hourMs)
  await release(erased)
  await cancel(failed)
  const [day = ''] = await redis.keys(`${prefix}:*:quota:2*`)
  assert.equal(
    [await total(), await redis.hmget(day, 'bytes', 'files')],
    [
      ['0', '0'],
      ['7', '1'],
    ],
  )
})

test.run()
