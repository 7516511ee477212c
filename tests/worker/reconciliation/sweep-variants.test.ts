import { DeleteObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { sweepStateKey, uploadVariantsPrefix, variantKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { sweepNow } from '../support/sweep-now.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('sweep of variants')
const hourMs = 60 * 60_000
let fleet: WorkerFleet

test.before.each(async () => {
  fleet = await startWorkerFleet()
})
test.after.each(() => fleet.close())

const keyOf = (address: UploadAddress, version: string, name = 'w320') =>
  variantKey(address, { version, name, sha256: 'ab12', extension: 'webp' })

async function put(...keys: string[]): Promise<void> {
  for (const Key of keys) await fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key, Body: Key }))
}

/** Lets the next sweep begin as the first one of a week. */
async function beginWeek(): Promise<void> {
  await fleet.s3.send(new DeleteObjectCommand({ Bucket: fleet.bucket, Key: sweepStateKey() }))
}

/** Sends a file and finishes it as a worker does, with these variants. */
async function finishWith(
  keysOf: (address: UploadAddress) => string[],
  finishedAt = new Date().toISOString(),
): Promise<UploadAddress> {
  const address = await fleet.arrive(Buffer.from('x'))
  const { originals, manifests } = createTestLifecycle(fleet)
  const original = await originals.find(address)
  if (!original) throw new Error('S3 has no original.')
  const now = new Date().toISOString()
  const manifest: Manifest = {
    version: 1,
    ...address,
    outcome: 'ready',
    intent: { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' },
    arrival: original.arrival,
    recipe: 'r',
    findings: {},
    variants: keysOf(address).map((key) => ({
      name: 'w320',
      key,
      contentType: 'image/webp',
      width: 1,
      height: 1,
      size: 1,
    })),
    createdAt: now,
    finishedAt,
  }
  await manifests.write(manifest, undefined)
  return address
}

async function variantsOf(address: UploadAddress): Promise<string[]> {
  const { Contents = [] } = await fleet.s3.send(
    new ListObjectsV2Command({ Bucket: fleet.bucket, Prefix: uploadVariantsPrefix(address) }),
  )
  return Contents.map(({ Key = '' }) => Key)
}

test('a sweep deletes variants that were replaced six hours ago, of earlier Millrace as well, and keeps all others', async () => {
  const oldKey = (address: UploadAddress) => `${uploadVariantsPrefix(address)}default/w320.webp`
  const replaced = await finishWith((address) => [keyOf(address, 'new')])
  await put(oldKey(replaced), keyOf(replaced, 'old'), keyOf(replaced, 'new'))
  const whole = await finishWith((address) => [keyOf(address, 'new')])
  await put(keyOf(whole, 'new'), keyOf(whole, 'new', 'w640'))
  const earlier = await finishWith((address) => [oldKey(address)])
  await put(oldKey(earlier))
  // The same recipe with an encoder that gave other bytes.
  const twins = await finishWith((address) => [keyOf(address, 'new')])
  const twin = variantKey(twins, { version: 'new', name: 'w320', sha256: 'cd34', extension: 'webp' })
  await put(keyOf(twins, 'new'), twin)
  // The recipe now has a variant of another name.
  const renamed = await finishWith((address) => [keyOf(address, 'new', 'w640')])
  await put(keyOf(renamed, 'old'), keyOf(renamed, 'new', 'w640'))
  const unfinished = await fleet.announce(Buffer.from('x'))
  await put(keyOf(unfinished, 'one'), keyOf(unfinished, 'two'))

  const soon = await sweepNow(fleet, { afterMs: 5 * hourMs })
  assert.is(
    soon.counts['replaced-variants'],
    undefined,
    'URLs of replaced variants may be in use, and attempts may run',
  )
  await beginWeek()
  const dry = await sweepNow(fleet, { afterMs: 7 * hourMs, isDryRun: true, maxIds: 3 })
  assert.equal(
    dry.named('replaced-variants').toSorted(),
    [replaced, twins, renamed].map(({ owner, id }) => `${owner}/${id}`).toSorted(),
  )
  assert.is((await variantsOf(replaced)).length, 3)

  const { counts } = await sweepNow(fleet, { afterMs: 7 * hourMs })
  assert.is(counts['replaced-variants'], 3)
  assert.equal(await variantsOf(renamed), [keyOf(renamed, 'new', 'w640')])
  assert.equal(await variantsOf(replaced), [keyOf(replaced, 'new')])
  assert.equal(await variantsOf(twins), [keyOf(twins, 'new')])
  assert.is((await variantsOf(whole)).length, 2)
  assert.equal(await variantsOf(earlier), [oldKey(earlier)])
  assert.is((await variantsOf(unfinished)).length, 2, 'without a manifest, an attempt may still write it')
  await beginWeek()
  const again = await sweepNow(fleet, { afterMs: 7 * hourMs })
  assert.equal([again.counts['replaced-variants'], again.counts['failed']], [undefined, undefined])
})

test('a variant that an attempt writes while the sweep deletes it stays', async () => {
  const address = await finishWith((each) => [keyOf(each, 'new')])
  await put(keyOf(address, 'old'), keyOf(address, 'new'))
  const { storedVariants } = createTestLifecycle(fleet)
  const erased = await storedVariants.erase(address, async () => {
    await put(keyOf(address, 'old'))
    return ({ key }) => key === keyOf(address, 'old')
  })
  assert.is(erased, 1)
  assert.equal(await variantsOf(address), [keyOf(address, 'new'), keyOf(address, 'old')].sort())
})

test('a sweep lists variants once a week, since there are many', async () => {
  await sweepNow(fleet)
  const address = await finishWith((each) => [keyOf(each, 'new')])
  await put(keyOf(address, 'old'), keyOf(address, 'new'))
  const dayMs = 24 * hourMs
  const replacedIn = async (days: number) =>
    (await sweepNow(fleet, { afterMs: days * dayMs })).counts['replaced-variants']
  assert.equal([await replacedIn(6), await replacedIn(7)], [undefined, 1])
})

test('a page that ends within an upload is continued with all of its variants', async () => {
  const address = await finishWith((each) => [keyOf(each, 'b')])
  await put(keyOf(address, 'a'), keyOf(address, 'b'))
  const next = await finishWith((each) => [keyOf(each, 'd')])
  await put(keyOf(next, 'c'), keyOf(next, 'd'))
  fleet.s3.middlewareStack.add(
    (send) => async (args) => {
      const { input } = args
      if ('Prefix' in input && input.Prefix === 'variants/' && 'StartAfter' in input) {
        return send({ ...args, input: { ...input, MaxKeys: 3 } })
      }
      return send(args)
    },
    { step: 'initialize', name: 'shortPages' },
  )
  const { counts } = await sweepNow(fleet, { afterMs: 7 * hourMs })
  assert.is(counts['replaced-variants'], 2)
  assert.equal(
    [await variantsOf(address), await variantsOf(next)],
    [[keyOf(address, 'b')], [keyOf(next, 'd')]],
  )
})

test('variants stay for six hours after the manifest that replaced them', async () => {
  const inTwoHours = new Date(Date.now() + 2 * hourMs).toISOString()
  const address = await finishWith((each) => [keyOf(each, 'new')], inTwoHours)
  await put(keyOf(address, 'old'), keyOf(address, 'new'))
  const { counts } = await sweepNow(fleet, { afterMs: 7 * hourMs })
  assert.is(counts['replaced-variants'], undefined)
  assert.is((await variantsOf(address)).length, 2)
})

test('a variant that an attempt has just written stays, although older ones of its upload are deleted', async () => {
  const address = await finishWith((each) => [keyOf(each, 'b-new')])
  const late = keyOf(address, 'c-late')
  await put(keyOf(address, 'a-old'), keyOf(address, 'b-new'), late)
  // The late one is of an hour before the sweep.
  const date = new Date(Date.now() + 6 * hourMs)
  fleet.s3.middlewareStack.add(
    (send) => async (args) => {
      const response = await send(args)
      const { output } = response
      const contents = 'Contents' in output ? output.Contents : undefined
      const versions = 'Versions' in output ? output.Versions : undefined
      for (const object of [...(contents ?? []), ...(versions ?? [])]) {
        if (object.Key === late) object.LastModified = date
      }
      return response
    },
    { step: 'initialize', name: 'lateDate' },
  )
  assert.is((await sweepNow(fleet, { afterMs: 7 * hourMs })).counts['replaced-variants'], 1)
  assert.equal(await variantsOf(address), [keyOf(address, 'b-new'), late])
})

test.run()
