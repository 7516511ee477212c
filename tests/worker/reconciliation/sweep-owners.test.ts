import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { IndexRange } from '@millrace/worker/reconciliation/compare-index.ts'
import { createSweepOwners } from '@millrace/worker/reconciliation/sweep-owners.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { createListingS3 } from '../support/listing-s3.ts'
import { createTestRun, runStage } from '../support/sweep-run.ts'

const test = suite('sweep of owners')
/** S3 compares the slash too, so `a-1/` and `a-2/` come before `a/`, and `a0/` after it. */
const owners = ['a-1', 'a-2', 'a', 'a0', 'a1', 'b', 's-1', 's-10', 's-2', 'zz']

/** Sweeps the owners that have an index. @returns what was compared, and how many pages were listed */
async function sweep(listed: Iterable<string>, keys: readonly string[], pageSize?: number) {
  const { s3, pages } = createListingS3({ keys, ...(pageSize && { pageSize }) })
  const { run, turns } = createTestRun({ startedAtMs: Date.now() })
  const compared: IndexRange[][] = []
  const stage = createSweepOwners({
    s3,
    bucket: 'uploads',
    run,
    listedIds: {
      async *owners(onStep) {
        await onStep()
        yield* listed
      },
    },
    async compareIndex(ranges) {
      compared.push(ranges)
    },
  })
  await runStage(stage)
  s3.destroy()
  assert.is(turns(), pages() + 1, 'each page and each step of SCAN waits for its turn')
  return { compared, pages: pages() }
}

const setting = fc.record({
  listed: fc.shuffledSubarray(owners),
  repeated: fc.subarray(owners),
  originals: fc.subarray(owners),
  manifests: fc.subarray(owners),
  pageSize: fc.integer({ min: 1, max: 4 }),
})

test('the whole index of each owner without any object is compared once, however the listings are paged', async () => {
  await checkProperty(
    fc.asyncProperty(setting, async ({ listed, repeated, originals, manifests, pageSize }) => {
      const keys = [
        ...originals.map((owner) => originalKey({ owner, id: newUploadId() })),
        ...manifests.map((owner) => manifestKey({ owner, id: newUploadId() })),
      ]
      const again = repeated.filter((owner) => listed.includes(owner))
      const { compared, pages } = await sweep([...listed, ...again], keys, pageSize)
      const without = listed.filter((owner) => !originals.includes(owner) && !manifests.includes(owner))
      const ranges = compared.flat().toSorted((one, other) => (one.owner < other.owner ? -1 : 1))
      assert.equal(
        ranges,
        without.toSorted().map((owner) => ({ owner, inS3: new Set() })),
      )
      // Each page shows it of one owner at least, or leads on to the next one.
      assert.ok(pages <= 2 * (listed.length + Math.ceil(owners.length / pageSize)), `${pages} pages`)
    }),
    { runs: 100 },
  )
})

test('owners without objects cost one page of each kind, however many they are', async () => {
  const listed = Array.from({ length: 2_000 }, (_, n) => `s-${n}`)
  const { compared, pages } = await sweep(listed, [originalKey({ owner: 's-7', id: newUploadId() })])
  assert.equal([compared.flat().length, pages], [1_999, 2])
})

test('at most 100,000 owners are held in memory at a time', async () => {
  function* many() {
    for (let n = 0; n < 100_001; n++) yield `s-${n}`
  }
  const { compared } = await sweep(many(), [])
  assert.equal(
    compared.map(({ length }) => length),
    [100_000, 1],
  )
})

test.run()
