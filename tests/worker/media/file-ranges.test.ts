import { createRangeBudget, maxRangeBytes, rangeLimits } from '@millrace/worker/media/file-ranges.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('ranges of media files')
const MiB = 1024 ** 2

test('a file is read by at most 500 ranges, of 8 MiB each and 64 MiB together', () => {
  assert.equal([maxRangeBytes, rangeLimits], [8 * MiB, { requests: 500, bytes: 64 * MiB }])
  const many = createRangeBudget(100)
  for (let request = 0; request < 500; request++) assert.is(many(0, 1), true)
  assert.is(many(0, 1), false, 'the 501st')
  const large = createRangeBudget(1000 * MiB)
  for (let request = 0; request < 8; request++) assert.is(large(0, 8 * MiB), true)
  assert.is(large(0, 1), false, 'one byte more than 64 MiB')
  assert.is(createRangeBudget(1000 * MiB)(0, 8 * MiB + 1), false)
})

test('a range lies in the file and has a byte at least', () => {
  for (const [start, end, isAllowed] of [
    [0, 100, true],
    [99, 100, true],
    [0, 101, false],
    [100, 101, false],
    [-1, 5, false],
    [5, 5, false],
    [6, 5, false],
  ] as const) {
    assert.is(createRangeBudget(100)(start, end), isAllowed, `${start}-${end}`)
  }
})

test.run()
