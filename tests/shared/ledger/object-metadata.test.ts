import {
  fromObjectMetadata,
  objectMetadataBytes,
  toObjectMetadata,
} from '@millrace/shared/ledger/object-metadata.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('object metadata')
const fallback = { filename: 'unnamed', preset: 'default' }

test('an intent is read from the object metadata that it was converted to', () => {
  const names = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
    .filter((name) => name.isWellFormed())
  const metadataFields = fc.dictionary(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/), names, {
    noNullPrototype: true,
  })
  fc.assert(
    fc.property(names, metadataFields, fc.boolean(), (filename, metadata, withHash) => {
      const intent: UploadIntent = {
        filename,
        contentType: 'image/png',
        size: 7,
        preset: 'default',
        metadata,
        ...(withHash && {
          declaredSha256: 'ab'.repeat(32),
          accept: ['image/*', 'text/csv'],
          stamped: ['a', 'b.c'],
        }),
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      }
      const objectMetadata = toObjectMetadata(intent)
      for (const value of Object.values(objectMetadata)) assert.match(value, /^[ -~]+$/)
      assert.equal(
        fromObjectMetadata({ contentType: 'image/png', size: 7, metadata: objectMetadata }, fallback),
        intent,
      )
    }),
  )
})

test('invalid object metadata is replaced by the fallback or ignored', () => {
  const invalid = {
    filename: '%E0%A4%A',
    preset: '../../etc',
    notes: '{"a":1}',
    sha256: 'no',
    traceparent: 'no',
  }
  assert.equal(fromObjectMetadata({ contentType: undefined, size: 3, metadata: invalid }, fallback), {
    filename: 'unnamed',
    contentType: 'application/octet-stream',
    size: 3,
    preset: 'default',
  })
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), (metadata) => {
      fromObjectMetadata({ contentType: 'a/b', size: 0, metadata }, fallback)
    }),
  )
})

test('the size of object metadata is the bytes of names and values, as in S3', () => {
  assert.is(objectMetadataBytes({ ab: 'cde', f: '' }), 6)
})

test.run()
