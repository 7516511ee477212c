import { generateKeyPairSync } from 'node:crypto'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { createDownloadSigner } from '@millrace/api/downloads/sign-download.ts'
import { createCdnSigner } from '@millrace/api/signing/sign-cdn-url.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { createReprocessUpload } from '@millrace/api/uploads/reprocess-upload.ts'
import type { ListedWithdrawal } from '@millrace/shared/erasure/withdrawals.ts'
import { uploadVariantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { builtInPresets, type Preset } from '@millrace/shared/presets/preset.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createInvalidateCdn } from '@millrace/worker/withdrawals/invalidate-cdn.ts'
import { createWithdrawVariants, pathsOf } from '@millrace/worker/withdrawals/withdraw-variants.ts'
import * as assert from 'uvu/assert'
import { variantCaching } from '../../../stacks/cdn-caching.ts'
import { createCloudFrontCache } from '../../support/cloudfront-cache.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { type CloudFrontServer, startCloudFrontServer } from '../support/cloudfront-server.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('copies of variants at CloudFront')
const distributionId = 'E2QWRUHAPOMQZL'
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const cdn = createCdnSigner({
  origin: 'https://d111111abcdef8.cloudfront.net',
  keyPairId: 'K1',
  privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
})
const small: Preset = { name: 'small', variants: [{ name: 'w320', width: 32, format: 'webp' }] }
const documents: Preset = { name: 'documents', accept: ['application/pdf'], variants: [] }
const presets = new Map([...builtInPresets.values(), small, documents].map((preset) => [preset.name, preset]))
const yearMs = 365 * 24 * 60 * 60_000
const minuteMs = 60_000

let fleet: WorkerFleet
let worker: Awaited<ReturnType<WorkerFleet['startWorker']>>
let cloudFront: CloudFrontServer
let cache: ReturnType<typeof createCloudFrontCache>
let invalidateCdn: ReturnType<typeof createInvalidateCdn>

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([small, documents]) } })
  cache = createCloudFrontCache({ ...fleet, policy: variantCaching })
  cloudFront = await startCloudFrontServer((paths) => cache.invalidate(paths))
  invalidateCdn = createInvalidateCdn(distributionId, {
    endpoint: cloudFront.endpoint,
    ...fleet.identity,
    region: 'us-east-1',
  })
  // The tests withdraw themselves.
  await fleet.redis.set(`${fleet.prefix}:withdrawals`, 'test')
  worker = await fleet.startWorker()
})
test.after(async () => {
  invalidateCdn.close()
  await cloudFront.close()
  await fleet.close()
})
test.before.each(() => {
  cloudFront.invalidations.length = 0
})

/** Composes what the API and a worker share, with a CDN. */
const lifecycleOf = () => createTestLifecycle({ ...fleet, hasCdn: true })

/** Sends a photo and waits until it is ready. */
async function sendPhoto(): Promise<Upload> {
  return fleet.finished(await fleet.arrive(await sampleImage('image/jpeg')))
}

async function reprocess(address: UploadAddress, preset: string): Promise<Upload> {
  const { records, manifests, queue } = fleet
  const stored = await records.find(address)
  if (!stored) throw new Error('The upload has no record.')
  fleet.changes.clear()
  await createReprocessUpload({ records, originals: createOriginals(fleet), manifests, queue, presets })(
    stored.upload,
    preset,
  )
  return fleet.finished(address)
}

async function urlOf(upload: Upload): Promise<string> {
  const sign = createDownloadSigner({
    signer: createUrlSigner(fleet),
    originals: createOriginals(fleet),
    cdn,
  })
  return (await sign.variant(upload, 'w320')).url
}

/** Returns another URL of the same variant, whose signature ends later. */
function signedLater(upload: Upload, endsAtMs: number): string {
  const key = upload.variants.find(({ name }) => name === 'w320')?.key ?? ''
  return cdn.sign(key, new Date(endsAtMs))
}

async function erase(address: UploadAddress, lifecycle = lifecycleOf()): Promise<void> {
  const imports = { remove: async () => {} }
  await createEraseUpload({ ...lifecycle, queue: fleet.queue, imports })(address)
}

const withdraw = () =>
  createWithdrawVariants({ ...lifecycleOf(), loadCdn: async () => invalidateCdn })(async () => {})

test('CloudFront fetches a variant from S3 once in a year, for all viewers and signatures', async () => {
  const upload = await sendPhoto()
  const now = Date.now()
  const first = await cache.get(await urlOf(upload))
  assert.equal([first.isHit, first.body === undefined], [false, false])
  const urls = [await urlOf(upload), ...[1, 2, 3].map((n) => signedLater(upload, now + n * minuteMs))]
  assert.is(new Set(urls).size, 4)
  for (const url of urls) assert.equal(await cache.get(url), { body: first.body, isHit: true })
  const muchLater = signedLater(upload, now + 2 * yearMs)
  assert.is((await cache.get(muchLater, { nowMs: now + yearMs - minuteMs })).isHit, true)
  assert.is((await cache.get(muchLater, { nowMs: now + yearMs + minuteMs })).isHit, false)
  // A page of another origin needs the CORS headers of S3, so it has a copy of its own.
  const headers = { origin: 'https://app.example.com' }
  assert.is((await cache.get(muchLater, { headers })).isHit, false)
  assert.is((await cache.get(muchLater, { headers })).isHit, true)
})

test('a signature that has ended serves no copy', async () => {
  const upload = await sendPhoto()
  const url = await urlOf(upload)
  assert.ok((await cache.get(url)).body)
  assert.equal(await cache.get(url, { nowMs: Date.now() + 16 * minuteMs }), { body: undefined, isHit: false })
})

test('after reprocessing, the URL of the same variant serves the new bytes, and the old URL still the old ones', async () => {
  const before = await sendPhoto()
  const oldUrl = await urlOf(before)
  const old = await cache.get(oldUrl)
  const after = await reprocess(before, 'small')
  const replaced = await cache.get(await urlOf(after))
  assert.equal([replaced.isHit, replaced.body === old.body], [false, false])
  const stored = await fleet.object(after.variants[0]?.key ?? '')
  assert.is(replaced.body, stored.toString('base64'))
  assert.equal(await cache.get(oldUrl), { body: old.body, isHit: true })
  assert.ok((await fleet.object(before.variants[0]?.key ?? '')).length > 0, 'nothing is deleted at once')
})

test('a variant under a key of an earlier version, which may be written again, is not cached', async () => {
  const upload = await sendPhoto()
  const key = `${uploadVariantsPrefix(upload)}default/w320.webp`
  const put = (Body: string) =>
    fleet.s3.send(
      new PutObjectCommand({
        Bucket: fleet.bucket,
        Key: key,
        Body,
        CacheControl: 'private, max-age=31536000, immutable',
      }),
    )
  const earlier: Upload = {
    ...upload,
    variants: upload.variants.map((variant) => ({ ...variant, key })),
  }
  await put('first')
  const url = await urlOf(earlier)
  assert.equal(await cache.get(url), { body: Buffer.from('first').toString('base64'), isHit: false })
  await put('second')
  assert.equal(await cache.get(url), { body: Buffer.from('second').toString('base64'), isHit: false })
})

test('an erased upload leaves CloudFront, though its URLs are signed for some minutes more', async () => {
  const upload = await sendPhoto()
  const kept = await sendPhoto()
  const [url, keptUrl] = [await urlOf(upload), await urlOf(kept)]
  await cache.get(url)
  await cache.get(keptUrl)
  await erase(upload)
  assert.is((await cache.get(url)).isHit, true, 'S3 has nothing, but CloudFront has a copy')
  assert.equal(await withdraw(), { finished: 1, paths: 1 })
  assert.equal(
    cloudFront.invalidations.map(({ distributionId, paths }) => [distributionId, paths]),
    [[distributionId, [`/variants/s-tester/${upload.id}/*`]]],
  )
  assert.equal(await cache.get(url), { body: undefined, isHit: false })
  assert.is((await cache.get(keptUrl)).isHit, true)
  assert.equal(await withdraw(), { finished: 0, paths: 0 })
})

test('without a CDN, an erasure leaves nothing to do', async () => {
  const lifecycle = createTestLifecycle(fleet)
  await erase(await sendPhoto(), lifecycle)
  assert.equal(await lifecycle.withdrawals.list(), [])
})

test('an upload that is rejected after it was ready leaves S3 and CloudFront', async () => {
  const upload = await sendPhoto()
  const url = await urlOf(upload)
  await cache.get(url)
  const rejected = await reprocess(upload, 'documents')
  assert.equal([rejected.state, rejected.error?.code], ['rejected', 'type_not_allowed'])
  assert.equal(await withdraw(), { finished: 1, paths: 1 })
  assert.is(await lifecycleOf().storedVariants.hasAny(upload), false)
  assert.equal(await cache.get(url), { body: undefined, isHit: false })
})

test('a withdrawal waits while too many invalidations are in progress, and while S3 still has the variants', async () => {
  const upload = await sendPhoto()
  const { withdrawals } = lifecycleOf()
  await withdrawals.add(upload)
  assert.equal(await withdraw(), { finished: 0, paths: 0 }, 'CloudFront could fetch them again')
  await erase(upload)
  cloudFront.setBusy(true)
  assert.equal(await withdraw(), { finished: 0, paths: 0 })
  assert.is((await withdrawals.list()).length, 1)
  cloudFront.setBusy(false)
  assert.equal(await withdraw(), { finished: 1, paths: 1 })
  assert.equal(await withdrawals.list(), [])
})

test('a withdrawal that is repeated after a crash is not billed again', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  const lifecycle = lifecycleOf()
  await lifecycle.withdrawals.add(address)
  const crashing = createWithdrawVariants({
    ...lifecycle,
    withdrawals: {
      ...lifecycle.withdrawals,
      async remove() {
        throw new Error('The worker died.')
      },
    },
    loadCdn: async () => invalidateCdn,
  })
  await crashing(async () => {}).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, 'died'),
  )
  assert.equal(await withdraw(), { finished: 1, paths: 1 })
  assert.is(cloudFront.invalidations.length, 1)
})

test('variants that the manifest names are not deleted: it was not written after its withdrawal', async () => {
  const upload = await sendPhoto()
  const lifecycle = lifecycleOf()
  await lifecycle.withdrawals.add(
    upload,
    upload.variants.map(({ key }) => key),
  )
  assert.equal(await withdraw(), { finished: 0, paths: 0 }, 'the manifest may be written any moment')
  assert.is(await lifecycle.storedVariants.hasAny(upload), true)
  const [listed] = await lifecycle.withdrawals.list()
  if (!listed) throw new Error('There is no withdrawal.')
  const old = { ...listed, changedAtMs: listed.changedAtMs - 2 * minuteMs }
  const later = createWithdrawVariants({
    ...lifecycle,
    withdrawals: { ...lifecycle.withdrawals, list: async () => [old] },
    loadCdn: undefined,
  })
  assert.equal(await later(async () => {}), { finished: 1, paths: 0 })
  assert.is(await lifecycle.storedVariants.hasAny(upload), true)
})

test('one path covers many uploads of an owner, and no request has more paths than CloudFront takes', () => {
  const withdrawn = (owner: string, count: number): ListedWithdrawal[] =>
    Array.from({ length: count }, () => ({ owner, id: newUploadId(), etag: 'e', changedAtMs: 0 }))
  const user = withdrawn('u-many', 1000)
  assert.equal(pathsOf(user), { paths: ['/variants/u-many/*'], covered: user })
  const owners = Array.from({ length: 9 }, (_, i) => withdrawn(`u-${i}`, 2)).flat()
  const { paths, covered } = pathsOf([...owners, ...user])
  assert.equal(covered, owners.slice(0, 15))
  assert.equal(
    paths,
    covered.map(({ owner, id }) => `/variants/${owner}/${id}/*`),
  )
})

test('a worker process invalidates the copies of its distribution', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  await lifecycleOf().withdrawals.add(address)
  const invalidated = cloudFront.nextInvalidation()
  await worker.close()
  await fleet.redis.del(`${fleet.prefix}:withdrawals`)
  const { log } = await fleet.spawnWorker({
    CDN_DISTRIBUTION_ID: distributionId,
    AWS_ENDPOINT_URL_CLOUDFRONT: cloudFront.endpoint,
  })
  await log.until(({ event }) => event === 'variants-withdrawn')
  await invalidated
  assert.equal(cloudFront.invalidations[0]?.paths, [`/variants/s-tester/${address.id}/*`])
})

test.run()
