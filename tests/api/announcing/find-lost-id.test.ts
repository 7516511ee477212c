import { CreateMultipartUploadCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { createFindLostId } from '@millrace/api/announcing/find-lost-id.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { keyedUploadId, uploadIdTail } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { suite } from '../../support/suite.ts'

const test = suite('search for the id of an Idempotency-Key')
const nowMs = 1_764_000_000_000
const sinceMs = nowMs - 1000
let api: ApiInstances
let warnings: unknown[]

test.before(async () => {
  api = await startApiInstances()
})
test.before.each(() => {
  warnings = []
})
test.after(() => api.close())

function createSearch(owner: string, options: { maxPages?: number; pageKeys?: number } = {}) {
  const find = createFindLostId({
    s3: api.s3,
    bucket: api.bucket,
    log: { warn: (fields: unknown) => warnings.push(fields) },
    ...options,
  })
  const tail = uploadIdTail(keyedUploadId({ owner, key: 'key' }, 0))
  return () => find(owner, { tail, sinceMs })
}

const put = (key: string) =>
  api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key: key, Body: 'the file' }))
const open = (key: string) => api.s3.send(new CreateMultipartUploadCommand({ Bucket: api.bucket, Key: key }))

for (const [kind, store] of [
  ['original', (address: { owner: string; id: string }) => put(originalKey(address))],
  ['manifest', (address: { owner: string; id: string }) => put(manifestKey(address))],
  ['open multipart upload', (address: { owner: string; id: string }) => open(originalKey(address))],
] as const) {
  test(`the id of an ${kind} is found on any page, and one of another key, owner or day is not`, async () => {
    const owner = `owner-${kind.replaceAll(' ', '-')}`
    const search = createSearch(owner, { pageKeys: 2 })
    for (let n = 0; n < 5; n++)
      await store({ owner, id: keyedUploadId({ owner, key: `other-${n}` }, nowMs + n) })
    await store({ owner: `${owner}-2`, id: keyedUploadId({ owner, key: 'key' }, nowMs) })
    await store({ owner, id: keyedUploadId({ owner, key: 'key' }, sinceMs - 1) })
    assert.is(await search(), undefined)
    const id = keyedUploadId({ owner, key: 'key' }, nowMs + 10)
    await store({ owner, id })
    assert.is(await search(), id)
    assert.equal(warnings, [])
  })
}

test('the latest of several ids is found, whatever S3 has of it', async () => {
  const owner = 'several'
  const ids = [0, 1, 2].map((n) => keyedUploadId({ owner, key: 'key' }, nowMs + n))
  await put(originalKey({ owner, id: ids[0] ?? '' }))
  await open(originalKey({ owner, id: ids[2] ?? '' }))
  await put(manifestKey({ owner, id: ids[1] ?? '' }))
  assert.is(await createSearch(owner)(), ids[2])
})

test('a search ends after its last page and logs it', async () => {
  const owner = 'busy'
  for (let n = 0; n < 5; n++) {
    await put(originalKey({ owner, id: keyedUploadId({ owner, key: `other-${n}` }, nowMs + n) }))
  }
  await put(originalKey({ owner, id: keyedUploadId({ owner, key: 'key' }, nowMs + 10) }))
  const limited = createSearch(owner, { pageKeys: 2, maxPages: 2 })
  assert.is(await limited(), undefined)
  assert.equal(warnings, [{ event: 'idempotency-search-ended', owner, pages: 2 }])
  assert.ok(await createSearch(owner, { pageKeys: 2, maxPages: 3 })())
  assert.is(warnings.length, 1)
})

test.run()
