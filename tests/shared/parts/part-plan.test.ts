import {
  bufferedPartBytes,
  formLimitBytes,
  partBytes,
  partLimit,
  planGrowingParts,
  planParts,
  planUppyParts,
  streamedPartBytes,
  unknownSizeLimitBytes,
  uppyFormLimitBytes,
} from '@millrace/shared/parts/part-plan.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('part plan')
const MiB = 1024 ** 2
const GiB = 1024 ** 3
const TiB = 1024 ** 4
const largestFileBytes = 5 * TiB

/** Sizes of files; many at or beside a limit of S3 or of the plans. */
const fileBytes = fc.oneof(
  fc.integer({ min: 1, max: largestFileBytes }),
  fc
    .tuple(
      fc.constantFrom(5 * MiB, 8 * MiB, 16 * MiB, 100 * MiB, 50_000 * MiB, 80_000 * MiB, 90_000 * MiB, TiB),
      fc.integer({ min: -1, max: 1 }),
    )
    .map(([limit, offset]) => limit + offset),
  fc
    .tuple(fc.integer({ min: 5, max: 525 }), fc.integer({ min: 1, max: 9_000 }))
    .map(([mebibytes, count]) => mebibytes * count * MiB),
)

for (const [name, plan] of [
  ['planParts', planParts],
  ['planUppyParts', planUppyParts],
] as const) {
  test(`${name} divides every file into parts that S3 accepts and that are the whole file`, () =>
    checkProperty(
      fc.property(fileBytes, (size) => {
        const parts = plan(size)
        const { partSize, partCount } = parts
        assert.ok(partCount >= 1 && partCount <= partLimit, `${partCount} parts`)
        assert.ok(partSize >= 5 * MiB && partSize <= 5 * GiB, `parts of ${partSize} bytes`)
        if (partCount > 1) assert.is(partBytes(parts, size, 1), partSize)
        if (partCount > 1) assert.is(partBytes(parts, size, partCount - 1), partSize)
        const last = partBytes(parts, size, partCount)
        assert.ok(last >= 1 && last <= partSize, `a last part of ${last} bytes`)
        assert.is(partSize * (partCount - 1) + last, size)
      }),
      { runs: 1_000 },
    ))
}

test('planGrowingParts divides every file into at most 10,000 parts that S3 accepts', () =>
  checkProperty(
    fc.property(fileBytes, (size) => {
      const { partBytes, evenParts } = planGrowingParts(size)
      let [missing, count] = [size, 0]
      for (; missing > 0; count++) {
        const bytes = partBytes(count + 1)
        // All parts but the last have their whole size. Even parts are collected in a buffer of 8 MiB.
        assert.ok(bytes >= 5 * MiB && bytes <= 5 * GiB, `parts of ${bytes} bytes`)
        if (count < evenParts) assert.is(bytes, 8 * MiB)
        missing -= bytes
      }
      assert.ok(count <= partLimit, `${count} parts`)
    }),
    { runs: 200 },
  ))

test('the plan of a tus upload that began does not change', () => {
  const even = planGrowingParts(80_000 * MiB)
  assert.equal([even.evenParts, even.partBytes(1), even.partBytes(10_000)], [10_000, 8 * MiB, 8 * MiB])
  for (const size of [80_000 * MiB + 1, largestFileBytes]) {
    const { evenParts, partBytes } = planGrowingParts(size)
    assert.equal(
      [evenParts, ...[1, 1_000, 1_001, 1_002, 10_000].map(partBytes)],
      [1_000, 8 * MiB, 8 * MiB, 8_523_776, 8_658_944, 1_224_900_608],
    )
  }
})

test('planParts uses parts of 8 MiB until the file needs more than 10,000', () => {
  assert.equal(planParts(200 * MiB), { partSize: 8 * MiB, partCount: 25 })
  assert.equal(planParts(80_000 * MiB), { partSize: 8 * MiB, partCount: 10_000 })
  assert.equal(planParts(80_000 * MiB + 1), { partSize: 9 * MiB, partCount: 8889 })
  assert.equal(planParts(5 * TiB), { partSize: 525 * MiB, partCount: 9987 })
})

test('parts that are collected in memory have 8 MiB, and 10,000 parts that are streamed hold the largest file', () => {
  assert.equal([bufferedPartBytes, unknownSizeLimitBytes], [8 * MiB, 80_000 * MiB])
  assert.is(streamedPartBytes, GiB)
  assert.ok(streamedPartBytes * partLimit >= largestFileBytes)
})

test('a file of up to 8 MiB is one form, and one of up to 100 MiB for Uppy', () => {
  assert.equal([formLimitBytes, uppyFormLimitBytes], [8 * MiB, 100 * MiB])
})

test('planUppyParts divides a file as Uppy does', () => {
  assert.equal(planUppyParts(1), { partSize: 5 * MiB, partCount: 1 })
  assert.equal(planUppyParts(5 * MiB), { partSize: 5 * MiB, partCount: 1 })
  assert.equal(planUppyParts(50_000 * MiB), { partSize: 5 * MiB, partCount: 10_000 })
  assert.equal(planUppyParts(50_000 * MiB + 1), { partSize: 5 * MiB + 1, partCount: 10_000 })
})

test.run()
