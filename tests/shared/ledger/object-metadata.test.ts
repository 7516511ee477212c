import {
  fromObjectMetadata,
  leastMetadataBytes,
  objectMetadataBytes,
  objectMetadataLimitBytes,
  toObjectMetadata,
} from '@millrace/shared/ledger/object-metadata.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('object metadata')
const fallback = { filename: 'unnamed', preset: 'default' }

test('an intent is read from the object metadata that it was converted to', async () => {
  const names = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
    .filter((name) => name.isWellFormed())
  const metadataFields = fc.dictionary(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/), names, {
    noNullPrototype: true,
  })
  await checkProperty(
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

const longNames: [name: string, filename: string][] = [
  ['255 Chinese characters', '漢'.repeat(255)],
  ['80 Hangul syllables in NFD', '각'.repeat(80).normalize('NFD')],
  ['255 emoji', '😀'.repeat(255)],
  ['ASCII with letters of other scripts', `${'a b'.repeat(60)}漢字${'ü'.repeat(73)}`],
]
for (const [name, filename] of longNames) {
  test(`a name of ${name} fits into object metadata and is read back`, () => {
    const intent: UploadIntent = {
      ...{ filename, contentType: 'image/png', size: 7, preset: 'p'.repeat(32) },
      metadata: { album: 'Été', note: '100 %' },
      declaredSha256: 'ab'.repeat(32),
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    }
    const metadata = toObjectMetadata(intent)
    assert.ok(objectMetadataBytes(metadata) <= objectMetadataLimitBytes)
    assert.ok(leastMetadataBytes(intent) <= objectMetadataBytes(metadata))
    for (const value of Object.values(metadata)) assert.match(value, /^[!-~]+$/)
    assert.equal(fromObjectMetadata({ contentType: 'image/png', size: 7, metadata }, fallback), intent)
  })
}

test('a trace is left out of object metadata that has no room for it', () => {
  const intent = { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' }
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const room = objectMetadataLimitBytes - objectMetadataBytes(toObjectMetadata({ ...intent, filename: '' }))
  const filename = 'a'.repeat(room)
  assert.is(toObjectMetadata({ ...intent, traceparent })['traceparent'], traceparent)
  assert.equal(
    toObjectMetadata({ ...intent, filename, traceparent }),
    toObjectMetadata({ ...intent, filename }),
  )
})

test('an intent that fits percent-encoded is stored so, as earlier versions read it', () => {
  const filename = '漢'.repeat(100)
  const metadata = toObjectMetadata({ filename, contentType: 'a/b', size: 1, preset: 'default' })
  assert.is(metadata['filename'], encodeURIComponent(filename))
  assert.is(
    fromObjectMetadata({ contentType: 'a/b', size: 1, metadata: { filename: 'utf16,ANg=' } }, fallback)
      .filename,
    'unnamed',
  )
})

test('invalid object metadata is replaced by the fallback or ignored', async () => {
  const invalid = {
    filename: '%E0%A4%A',
    preset: '../../etc',
    notes: '{"a":1}',
    sha256: 'no',
    traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  }
  assert.equal(fromObjectMetadata({ contentType: undefined, size: 3, metadata: invalid }, fallback), {
    filename: 'unnamed',
    contentType: 'application/octet-stream',
    size: 3,
    preset: 'default',
  })
  await checkProperty(
    fc.property(fc.dictionary(fc.string(), fc.string()), (metadata) => {
      fromObjectMetadata({ contentType: 'a/b', size: 0, metadata }, fallback)
    }),
  )
})

test('the size of object metadata is the bytes of names and values, as in S3', () => {
  assert.is(objectMetadataBytes({ ab: 'cde', f: '' }), 6)
})

test.run()
