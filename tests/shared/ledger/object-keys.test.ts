import {
  erasureKey,
  manifestKey,
  originalKey,
  parseErasureKey,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('object keys')
const owners = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/)
const ids = fc.uuid({ version: 7 })

test('are parsed back to what they were built from', () => {
  fc.assert(
    fc.property(owners, ids, (owner, id) => {
      assert.equal(parseOriginalKey(originalKey({ owner, id })), { owner, id })
      assert.equal(parseManifestKey(manifestKey({ owner, id })), { owner, id })
      assert.is(parseManifestKey(originalKey({ owner, id })), undefined)
      assert.is(parseOriginalKey(manifestKey({ owner, id })), undefined)
      assert.equal(parseErasureKey(erasureKey({ owner, id })), { owner, id })
      assert.is(parseErasureKey(originalKey({ owner, id })), undefined)
      // What tells of an erasure is never taken for the upload.
      assert.is(parseOriginalKey(erasureKey({ owner, id })), undefined)
      assert.is(parseManifestKey(erasureKey({ owner, id })), undefined)
    }),
  )
})

test('of any other form name no upload', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.is(parseOriginalKey(text), undefined)
      assert.is(parseOriginalKey(`originals/${text}`), undefined)
      assert.is(parseErasureKey(text), undefined)
      assert.is(parseErasureKey(`erased/${text}`), undefined)
    }),
  )
  const id = newUploadId()
  for (const key of [`originals/a/b/${id}`, `originals//${id}`, `originals/A/${id}`, `originals/../${id}`]) {
    assert.is(parseOriginalKey(key), undefined, key)
  }
  assert.is(parseOriginalKey(`originals/a/${id.toUpperCase()}`), undefined)
  assert.is(parseOriginalKey(`originals/a/${id}/`), undefined)
})

test('hold ids that tell when they were made', () => {
  const before = Date.now()
  const made = uploadIdTimeMs(newUploadId())
  assert.ok(made >= before && made <= Date.now())
})

test.run()
