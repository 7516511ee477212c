import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { compareListings, type ListedRange } from '@millrace/worker/reconciliation/compare-listings.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { createListingS3 } from '../support/listing-s3.ts'

const test = suite('listing of originals and manifests')
const bucket = 'uploads'
/** In the order of S3, which is not that of the owners: `-` is before `/`, and `0` after it. */
const positions = ['a-b', 'a', 'a0', 'b'].flatMap((owner) =>
  [1, 2, 3].map((n) => `${owner}/01942fd4-b6a7-7000-8000-00000000000${n}`),
)
const foreignKeys = ['originals/a/invalid', 'originals/zz', 'manifests/a/invalid.json', 'manifests/zz']

function addressOf(position: string) {
  const [owner = '', id = ''] = position.split('/')
  return { owner, id }
}

const listed = fc.record({
  originals: fc.subarray(positions),
  manifests: fc.subarray(positions),
  foreign: fc.subarray(foreignKeys),
  pageSize: fc.integer({ min: 1, max: 5 }),
  after: fc.constantFrom('', ...positions),
})

test('whatever S3 has and however it is paged, each upload beyond the cursor is in one range, with both of its objects', async () => {
  await checkProperty(
    fc.asyncProperty(listed, async ({ originals, manifests, foreign, pageSize, after }) => {
      const keys = [
        ...originals.map((position) => originalKey(addressOf(position))),
        ...manifests.map((position) => manifestKey(addressOf(position))),
        ...foreign,
      ]
      const { s3, pages } = createListingS3({ keys, pageSize })
      let turns = 0
      const ranges: ListedRange[] = []
      const nextPage = async () => {
        turns += 1
        assert.ok(turns <= 100, 'it ends')
      }
      for await (const range of compareListings({ s3, bucket, after, nextPage })) {
        ranges.push(range)
        assert.ok(ranges.length <= 100, 'it ends')
      }
      s3.destroy()

      const found = ranges.flatMap(({ uploads }) =>
        uploads.map(({ owner, id, original, manifest }) => [`${owner}/${id}`, original?.key, manifest?.key]),
      )
      const expected = positions
        .filter((position) => position > after)
        .filter((position) => originals.includes(position) || manifests.includes(position))
        .map((position) => [
          position,
          originals.includes(position) ? originalKey(addressOf(position)) : undefined,
          manifests.includes(position) ? manifestKey(addressOf(position)) : undefined,
        ])
      assert.equal(found.toSorted(), expected.toSorted())
      // A run that ends after any range continues with the next one.
      let end: string | undefined = after
      for (const range of ranges) {
        assert.is(range.after, end)
        end = range.upTo
        for (const { owner, id } of range.uploads) {
          assert.ok(`${owner}/${id}` > range.after)
          if (range.upTo !== undefined) assert.ok(`${owner}/${id}` <= range.upTo)
        }
      }
      assert.is(end, undefined)
      assert.is(turns, pages(), 'each page waits for its turn')
    }),
    { runs: 100 },
  )
})

test.run()
