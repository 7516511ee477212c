import { idRangeOf } from '@millrace/api/listing/upload-filter.ts'
import { largestUploadIdOf, smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('times of a filter')
const timeMs = Date.UTC(2026, 10, 23, 9, 30)
const at = (ms: number) => new Date(ms).toISOString()

/** Whether an id is within a range, whose bounds are excluded. */
function isWithin(id: string, { after, before }: ReturnType<typeof idRangeOf>): boolean {
  return (after === undefined || id > after) && (before === undefined || id < before)
}

test('a range begins with the first id of its start, and ends with the last id before its end', () => {
  const range = idRangeOf({ from: at(timeMs), to: at(timeMs + 10) })
  for (const [id, expected] of [
    [largestUploadIdOf(timeMs - 1), false],
    [smallestUploadId(timeMs), true],
    [largestUploadIdOf(timeMs + 9), true],
    [smallestUploadId(timeMs + 10), false],
  ] as const)
    assert.is(isWithin(id, range), expected, id)
})

test('without a time there is no bound', () => {
  assert.equal(idRangeOf({}), { after: undefined, before: undefined })
  assert.equal(idRangeOf({ from: at(0) }).after, undefined)
})

test('an empty range and one that ends before it begins are refused', () => {
  for (const endMs of [timeMs, timeMs - 1])
    assert.throws(() => idRangeOf({ from: at(timeMs), to: at(endMs) }), /from must be before to/)
})

test('a day is the one of UTC', () => {
  const day = idRangeOf({ from: '2026-11-23', to: '2026-11-24' })
  assert.equal(day, idRangeOf({ from: '2026-11-23T00:00:00Z', to: '2026-11-24T00:00:00Z' }))
})

test.run()
