import { partLimit, planParts, planUppyParts } from '@millrace/shared/ledger/part-plan.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('part plan')
const MiB = 1024 ** 2
const TiB = 1024 ** 4

test('planParts divides every file into at most 10,000 parts of a size that S3 accepts', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 * TiB }), (size) => {
      const { partSize, partCount } = planParts(size)
      assert.ok(partSize >= 5 * MiB && partSize <= 5 * 1024 * MiB)
      assert.ok(partCount >= 1 && partCount <= partLimit)
      const last = size - partSize * (partCount - 1)
      assert.ok(last >= 1 && last <= partSize)
    }),
  )
})

test('planParts uses parts of 8 MiB until the file needs more than 10,000', () => {
  assert.equal(planParts(200 * MiB), { partSize: 8 * MiB, partCount: 25 })
  assert.equal(planParts(80_000 * MiB), { partSize: 8 * MiB, partCount: 10_000 })
  assert.equal(planParts(80_000 * MiB + 1), { partSize: 9 * MiB, partCount: 8889 })
  assert.equal(planParts(5 * TiB), { partSize: 525 * MiB, partCount: 9987 })
})

test('planUppyParts divides a file as Uppy does', () => {
  assert.equal(planUppyParts(1), { partSize: 5 * MiB, partCount: 1 })
  assert.equal(planUppyParts(5 * MiB), { partSize: 5 * MiB, partCount: 1 })
  assert.equal(planUppyParts(50_000 * MiB), { partSize: 5 * MiB, partCount: 10_000 })
  assert.equal(planUppyParts(50_000 * MiB + 1), { partSize: 5 * MiB + 1, partCount: 10_000 })
})

test.run()
