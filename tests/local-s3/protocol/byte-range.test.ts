import { parseRange } from '@millrace/local-s3/protocol/byte-range.ts'
import { S3Error } from '@millrace/local-s3/protocol/s3-error.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('byte range')
const isS3Error = (error: unknown) => error instanceof S3Error

test('a Range header selects the bytes that RFC 9110 defines, or is rejected if there are none', async () => {
  const position = fc.integer({ min: 0, max: 40 })
  const header = fc.oneof(
    fc.tuple(position, position).map(([first, last]) => ({ first, last, text: `bytes=${first}-${last}` })),
    position.map((first) => ({ first, last: Number.POSITIVE_INFINITY, text: `bytes=${first}-` })),
    position.map((suffix) => ({ suffix, text: `bytes=-${suffix}` })),
  )
  await checkProperty(
    fc.property(fc.integer({ min: 1, max: 30 }), header, (size, requested) => {
      const { first, last } =
        'suffix' in requested ? { first: size - requested.suffix, last: size } : requested
      // Section 14.1.1: a range that ends before it begins is invalid, and ignored.
      if (first > last) return assert.is(parseRange(requested.text, size), undefined)
      const expected = Array.from({ length: size }, (_, byte) => byte).filter(
        (byte) => byte >= first && byte <= last,
      )
      if (expected.length === 0) return assert.throws(() => parseRange(requested.text, size), isS3Error)
      assert.equal(parseRange(requested.text, size), { start: expected[0], end: expected.at(-1) })
    }),
    { runs: 1000 },
  )
})

test('a Range header that is not one byte range is ignored', () => {
  for (const header of [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,3-4',
    'items=0-1',
    'bytes=a-b',
  ]) {
    assert.is(parseRange(header, 10), undefined, header)
  }
})

test.run()
