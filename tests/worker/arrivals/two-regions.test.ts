import { PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import {
  editKey,
  erasureKey,
  manifestKey,
  originalKey,
  unfinishedKey,
  variantKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { tenantKey, userOwner } from '@millrace/shared/uploads/owner.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import {
  createObjectCopier,
  type ObjectCopier,
  type PendingCopy,
  putCopy,
} from '../../support/copy-objects.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { watchForCommand } from '../../support/watch-for-command.ts'
import { sampleImage } from '../support/sample-images.ts'
import { type Region, startRegion } from '../support/start-region.ts'
import { sweepNow } from '../support/sweep-now.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'

const test = suite('two regions')
const receipt = Compile(Receipt)
const owner = 'acme'
const minuteMs = 60_000
const { key, entry } = newApiKey(owner, ['uploads:read', 'uploads:write'])
let here: Region
let there: Region
let copyThere: ObjectCopier
let copyHere: ObjectCopier
let workerHere: Awaited<ReturnType<Region['startWorker']>>
let png: Buffer

test.before(async () => {
  here = await startRegion({ apiKey: entry })
  there = await startRegion({ apiKey: entry })
  copyThere = createObjectCopier(here, there)
  copyHere = createObjectCopier(there, here)
  workerHere = await here.startWorker()
  await there.startWorker()
  png = await sampleImage('image/png')
})
test.after(async () => {
  await here.close()
  await there.close()
})

function request({ api }: Region, method: 'GET' | 'DELETE', path: string) {
  return api.inject({ method, url: path, headers: { authorization: `Bearer ${key}` } })
}

/**
 * Whether the upload is received and has no job. The queue is read before the state, since a job that ends in between
 * changes the state.
 */
async function isReceivedOnly(region: Region, address: UploadAddress): Promise<boolean> {
  const { waiting, prioritized, active } = await region.queue.counts()
  return waiting + prioritized + active === 0 && (await stateIn(region, address)) === 'received'
}

async function stateIn({ records }: Region, address: UploadAddress): Promise<string | undefined> {
  return (await records.find(address))?.upload.state
}

test('two regions render an upload once, and both serve it', async () => {
  const address = await here.arrive(png, { owner })
  await here.finished(address)
  const copied = await copyThere.copy()
  await there.handled(manifestKey(address))
  await there.handled(originalKey(address))
  assert.ok(copied.length > 3, `${copied.length} objects`)
  assert.equal(await there.versions(address), await here.versions(address))
  assert.equal(await copyHere.copy(), [], 'the other region wrote nothing')
  assert.not.ok(there.changes.states(address.id).includes('processing'))
  assert.is(await stateIn(there, address), 'ready')

  const { uploads } = (await request(there, 'GET', '/uploads')).json<{
    uploads: { id: string; state: string }[]
  }>()
  assert.equal(
    uploads.map(({ id, state }) => [id, state]),
    [[address.id, 'ready']],
  )
  for (const part of ['original', 'variants/w320']) {
    const { statusCode, headers } = await request(there, 'GET', `/uploads/${address.id}/${part}`)
    assert.is(statusCode, 302)
    assert.is((await fetch(String(headers['location']))).status, 200, part)
  }
})

test('a change of filename and metadata reaches the other region, and both show the same', async () => {
  const address = await here.arrive(png, { owner })
  await here.finished(address)
  await copyThere.copy()
  await there.handled(manifestKey(address))
  const payload = { filename: 'renamed.png', metadata: { album: 'winter' } }
  const url = `/uploads/${address.id}`
  const headers = { authorization: `Bearer ${key}` }
  assert.is((await here.api.inject({ method: 'PATCH', url, headers, payload })).statusCode, 200)
  await copyThere.copy()
  await there.handled(editKey(address))
  const intentIn = async ({ records }: Region) => (await records.find(address))?.upload.intent
  assert.equal([(await intentIn(there))?.filename, (await intentIn(there))?.metadata], Object.values(payload))
  assert.equal(await intentIn(here), await intentIn(there))
})

test('a copy without its manifest is received, and it is finished when the manifest arrives', async () => {
  const address = await here.arrive(png, { owner })
  await here.finished(address)
  const inFlight = await copyThere.read()
  const isManifest = (object: { key: string }) => object.key === manifestKey(address)
  for (const object of inFlight.filter((object) => !isManifest(object))) await object.land()
  await there.handled(originalKey(address))
  const response = await request(there, 'GET', `/uploads/${address.id}`)
  assert.is(response.json<{ state: string }>().state, 'received')
  assert.ok(await isReceivedOnly(there, address))
  for (const object of inFlight.filter(isManifest)) await object.land()
  assert.is((await there.finished(address)).state, 'ready')
  assert.equal(there.changes.states(address.id), ['received', 'ready'])
})

test('rejected bytes are deleted in both regions', async () => {
  const address = await here.arrive(png, { owner, declaredSha256: '0'.repeat(64) })
  const inFlight = await copyThere.read()
  await here.finished(address, 'rejected')
  for (const { land } of inFlight) await land()
  await there.handled(originalKey(address))
  await copyThere.copy()
  await there.handled(manifestKey(address))
  assert.is(await stateIn(there, address), 'rejected')
  const left = await there.versions(address)
  assert.equal(left, await here.versions(address))
  assert.equal(
    left.map((version) => version.split(' ')[0]),
    [manifestKey(address)],
  )
})

test('a file that is sent again is kept once in both regions, and stays ready', async () => {
  const address = await here.arrive(png, { owner })
  const { arrival } = await here.finished(address)
  await copyThere.copy()
  await there.finished(address)
  const inFlight: PendingCopy[] = []
  for (let sent = 2; sent <= 3; sent++) {
    await here.arrive(png, { ...address, owner })
    inFlight.push(...(await copyThere.read()))
    await here.handled(originalKey(address), sent)
  }
  for (const { land } of inFlight) await land()
  // Copies have other etags, as under KMS, so their checksums show that they are the same.
  await there.handled(originalKey(address), 3)
  for (const region of [here, there]) {
    const versions = (await region.versions(address)).filter((each) => each.startsWith(originalKey(address)))
    assert.equal(versions, [`${originalKey(address)} ${arrival?.versionId}`])
    assert.is(await stateIn(region, address), 'ready')
    assert.is(region.changes.states(address.id).filter((state) => state === 'ready').length, 1)
  }
})

test('a replacement that one region rejected is deleted in the other one too', async () => {
  const address = await here.arrive(png, { owner })
  const { arrival } = await here.finished(address)
  await copyThere.copy()
  await there.finished(address)
  here.changes.clear()
  there.changes.clear()
  // It has another size than the first file, so it is rejected.
  await here.arrive(Buffer.concat([png, png]), { ...address, owner })
  const inFlight = await copyThere.read()
  await here.finished(address, 'ready')
  for (const { land } of inFlight) await land()
  await there.finished(address, 'received')
  await copyThere.copy()
  await there.finished(address, 'ready')
  for (const region of [here, there]) {
    const versions = (await region.versions(address)).filter((each) => each.startsWith(originalKey(address)))
    assert.equal(versions, [`${originalKey(address)} ${arrival?.versionId}`])
  }
})

test('an erasure in one region erases both, including copies that arrive later', async () => {
  const [early, late] = [await here.arrive(png, { owner }), await here.arrive(png, { owner })]
  await here.finished(early)
  await here.finished(late)
  const inFlight = await copyThere.read()
  for (const object of inFlight) if (object.key.includes(early.id)) await object.land()
  await there.handled(manifestKey(early))
  // Unfinished bytes of tus, and a variant of an earlier preset.
  for (const Key of [
    unfinishedKey(early),
    variantKey(late, { version: 'old', name: 'w1', sha256: 'ab12', extension: 'webp' }),
  ]) {
    await here.s3.send(new PutObjectCommand({ Bucket: here.bucket, Key, Body: 'x' }))
  }
  inFlight.push(...(await copyThere.read()))

  for (const address of [early, late]) {
    const response = await request(here, 'DELETE', `/uploads/${address.id}`)
    assert.is(response.statusCode, 200)
    const { erased } = receipt.Parse(response.json())
    // A worker that got the marker's event may have erased the rest first. What is left is compared below.
    assert.not.ok(erased.some((object) => object.key === erasureKey(address)))
    await here.handled(erasureKey(address))
  }
  const left = async (region: Region) =>
    (await region.versions(early, late)).map((version) => version.split(' ')[0])
  const markers = [erasureKey(early), erasureKey(late)]
  assert.equal(await left(here), markers)
  await copyThere.copy()
  for (const marker of markers) await there.handled(marker)
  assert.equal(await left(there), markers)
  assert.is((await request(there, 'GET', `/uploads/${early.id}`)).statusCode, 404)

  // Copies that S3 had read before the source was deleted. Variants and unfinished bytes cause no event.
  const withoutEvent = [
    unfinishedKey(early),
    variantKey(late, { version: 'old', name: 'w1', sha256: 'ab12', extension: 'webp' }),
  ]
  const hasEvent = ({ key }: { key: string }) => key.includes(late.id) && !withoutEvent.includes(key)
  for (const object of inFlight.filter(hasEvent)) await object.land()
  await there.handled(originalKey(late))
  await there.handled(manifestKey(late))
  for (const object of inFlight) if (withoutEvent.includes(object.key)) await object.land()
  assert.equal((await left(there)).toSorted(), [...markers, ...withoutEvent].toSorted())
  const eraseLateCopies = async (afterMs: number) =>
    (await sweepNow(there, { afterMs })).counts['unconfirmed-erasure'] ?? 0
  assert.is(await eraseLateCopies(14 * minuteMs), 0, 'copies may still arrive')
  assert.is(await eraseLateCopies(15 * minuteMs), 2)
  assert.equal(await left(there), markers)
  assert.is(await eraseLateCopies(15 * minuteMs), 0, 'each upload is erased a second time only once')

  // If Redis lost its data, the erasure runs again and restores the marker.
  await there.redis.del(`${there.prefix}:{${owner}}:erased:${early.id}`)
  assert.is(await eraseLateCopies(15 * minuteMs), 1)
  assert.ok(await there.records.isErased(early))
  assert.is(
    (await request(here, 'DELETE', `/uploads/${early.id}`)).statusCode,
    200,
    'an erasure may be repeated',
  )
  assert.equal(await copyThere.copy(), [], 'the marker is written once')
})

test('an erasure marker is written before anything is erased', async () => {
  const address = await here.arrive(png, { owner })
  await here.finished(address)
  const before = await here.versions(address)
  const leftAtMarker: string[][] = []
  here.s3.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] !== 'PutObjectCommand' || leftAtMarker.length > 0) return next(args)
      leftAtMarker.push(await here.versions(address))
      throw new Error('S3 is unavailable')
    },
    { step: 'initialize', name: 'refuseMarker' },
  )
  assert.is((await request(here, 'DELETE', `/uploads/${address.id}`)).statusCode, 500, 'no receipt')
  here.s3.middlewareStack.remove('refuseMarker')
  assert.equal(leftAtMarker, [before])
  const second = await request(here, 'DELETE', `/uploads/${address.id}`)
  assert.equal([second.statusCode, receipt.Parse(second.json()).erased.length], [200, before.length])
  await copyThere.copy()
  await there.handled(erasureKey(address))
})

test('the region of an upload tells webhooks of it, and the region that erases it of its erasure', async () => {
  const [outboxHere, outboxThere] = [here, there].map((region) => openOutbox(region).outbox)
  await openOutbox(here).webhooks.create(webhookOf('globex', '1'))
  const user = userOwner('globex', 'someone')
  await copyThere.copy()
  const address = await here.arrive(png, { owner: user })
  await here.finished(address)
  await copyThere.copy()
  await there.finished(address)
  await there.handled(manifestKey(address))
  const { erasures } = createTestLifecycle(there)
  await erasures.mark(address)
  await there.handled(erasureKey(address))
  await copyHere.copy()
  await here.handled(erasureKey(address))
  const types = async (outbox?: Outbox) =>
    (await outbox?.listOfUpload(tenantKey('globex'), address.id))?.map(({ type }) => type)
  assert.equal(await types(outboxHere), ['upload.received', 'upload.ready'])
  assert.equal(await types(outboxThere), ['upload.deleted'])
})

test('a worker erases late copies by its schedule', async () => {
  const address = { owner, id: newUploadId() }
  const marker = { key: erasureKey(address), versionId: 'v1', bytes: new Uint8Array() }
  await putCopy(there, { ...marker, modifiedAt: new Date(Date.now() - 16 * minuteMs) })
  await there.handled(erasureKey(address))
  const lateVariant = {
    key: variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' }),
    versionId: 'v2',
  }
  await putCopy(there, { ...lateVariant, modifiedAt: new Date(), bytes: new Uint8Array(7) })

  const confirmed = await watchForCommand(
    there.environment['REDIS_URL'] ?? '',
    ([command, redisKey = '', value]) => {
      const isOurs = redisKey.startsWith(there.prefix) && redisKey.endsWith(address.id)
      return command === 'set' && isOurs && value === 'confirmed'
    },
  )
  const { close } = await there.startWorker({ environment: { RECONCILE_INTERVAL_MS: '1000' } })
  await confirmed.seen
  assert.equal(await there.versions(address), [`${erasureKey(address)} v1`])
  await close()
})

test('a region processes a copy whose own region is down, after the minimum age', async () => {
  await workerHere.close()
  const address = await here.arrive(png, { owner })
  await copyThere.copy()
  await there.handled(originalKey(address))
  assert.ok(await isReceivedOnly(there, address))
  await sweepNow(there, { limits: { minAgeMs: 30 * minuteMs } })
  assert.ok(await isReceivedOnly(there, address))
  await sweepNow(there)
  assert.is((await there.finished(address)).state, 'ready')

  await copyHere.copy()
  workerHere = await here.startWorker()
  await here.handled(originalKey(address))
  await here.handled(manifestKey(address))
  assert.is((await here.finished(address)).state, 'ready')
  await workerHere.close()
  assert.equal(await here.versions(address), await there.versions(address))
})

test.run()
