import {
  announcementKey,
  erasureKey,
  manifestKey,
  originalKey,
  parseAnnouncementKey,
  parseErasureKey,
  parseManifestKey,
  parseOriginalKey,
  parseUnfinishedKey,
  unfinishedKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('object keys')
const owners = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/)
const ids = fc.uuid({ version: 7 })

test('object keys are parsed to the owner and id that they were built from', () => {
  fc.assert(
    fc.property(owners, ids, (owner, id) => {
      assert.equal(parseOriginalKey(originalKey({ owner, id })), { owner, id })
      assert.equal(parseManifestKey(manifestKey({ owner, id })), { owner, id })
      assert.is(parseManifestKey(originalKey({ owner, id })), undefined)
      assert.is(parseOriginalKey(manifestKey({ owner, id })), undefined)
      assert.equal(parseErasureKey(erasureKey({ owner, id })), { owner, id })
      assert.is(parseErasureKey(originalKey({ owner, id })), undefined)
      assert.equal(parseAnnouncementKey(announcementKey({ owner, id })), { owner, id })
      assert.equal(parseUnfinishedKey(unfinishedKey({ owner, id })), { owner, id })
      assert.is(parseAnnouncementKey(unfinishedKey({ owner, id })), undefined)
      assert.is(parseUnfinishedKey(announcementKey({ owner, id })), undefined)
      // The key of an erasure marker is never parsed as a key of the upload.
      assert.is(parseOriginalKey(erasureKey({ owner, id })), undefined)
      assert.is(parseManifestKey(erasureKey({ owner, id })), undefined)
    }),
  )
})

test('keys of any other form are not parsed', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.is(parseOriginalKey(text), undefined)
      assert.is(parseOriginalKey(`originals/${text}`), undefined)
      assert.is(parseErasureKey(text), undefined)
      assert.is(parseErasureKey(`erasures/${text}`), undefined)
    }),
  )
  const id = newUploadId()
  for (const key of [`originals/a/b/${id}`, `originals//${id}`, `originals/A/${id}`, `originals/../${id}`]) {
    assert.is(parseOriginalKey(key), undefined, key)
  }
  assert.is(parseOriginalKey(`originals/a/${id.toUpperCase()}`), undefined)
  assert.is(parseOriginalKey(`originals/a/${id}/`), undefined)
})

test('an upload id contains the time of its creation', () => {
  const before = Date.now()
  const createdAtMs = uploadIdTimeMs(newUploadId())
  assert.ok(createdAtMs >= before && createdAtMs <= Date.now())
})

test.run()
