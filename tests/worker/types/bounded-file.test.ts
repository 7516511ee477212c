import { createBoundedFile } from '@millrace/worker/types/bounded-file.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('bounded file')
const KiB = 1024

/** Opens a file of counting bytes whose head is in memory. Records the ranges that are read. */
function openFile(size: number, headBytes = 100) {
  const ranges: [start: number, end: number][] = []
  const bytesOf = (start: number, end: number) =>
    Buffer.from(Array.from({ length: end - start }, (_, index) => (start + index) % 251))
  const file = createBoundedFile({
    size,
    head: bytesOf(0, Math.min(size, headBytes)),
    async readRange(start, end) {
      ranges.push([start, end])
      return bytesOf(start, end)
    },
  })
  return { file, ranges, bytesOf }
}

test('at most 16 ranges are read beyond the head, and then nothing', async () => {
  const { file, ranges } = openFile(100 * 1024 * KiB)
  for (let read = 1; read <= 20; read++) {
    const bytes = await file.read(read * 1024 * KiB, 1)
    assert.is(bytes.length, read <= 16 ? 1 : 0, `range ${read}`)
  }
  assert.is(ranges.length, 16)
  assert.equal(ranges[0], [1024 * KiB, 1024 * KiB + 16 * KiB])
})

test('at most 1 MiB is read beyond the head, in all ranges together', async () => {
  const { file, ranges } = openFile(10_000 * KiB)
  assert.is((await file.read(1_000, 1024 * KiB + 1)).length, 0)
  assert.is((await file.read(1_000, 1_000 * KiB)).length, 1_000 * KiB)
  assert.is((await file.read(5_000 * KiB, 24 * KiB + 1)).length, 0)
  assert.is((await file.read(5_000 * KiB, 24 * KiB)).length, 24 * KiB)
  assert.is((await file.read(9_000 * KiB, 1)).length, 0)
  assert.is(ranges.length, 2)
})

test('at most 2,000 reads are answered, those of the head included', async () => {
  const { file, ranges } = openFile(1_000)
  for (let read = 1; read <= 2_000; read++) assert.is((await file.read(0, 1)).length, 1)
  assert.equal([(await file.read(0, 1)).length, ranges], [0, []])
})

test('whatever is asked, the answer is the bytes of the place, or fewer', async () => {
  const place = fc.oneof(fc.integer({ min: -10, max: 40_000 }), fc.double(), fc.maxSafeInteger())
  await checkProperty(
    fc.asyncProperty(fc.array(fc.tuple(place, place), { maxLength: 12 }), async (asked) => {
      const size = 30_000
      const { file, ranges, bytesOf } = openFile(size)
      for (const [start, length] of asked) {
        const bytes = await file.read(start, length)
        assert.ok(bytes.length <= Math.max(0, length) || Number.isNaN(length))
        if (bytes.length > 0) assert.ok(bytes.equals(bytesOf(start, start + bytes.length)))
        const isWithin = Number.isInteger(start) && Number.isInteger(length) && start >= 0 && length > 0
        if (isWithin && start < size) assert.is(bytes.length, Math.min(length, size - start))
      }
      for (const [start, end] of ranges) assert.ok(start >= 0 && start < end && end <= size)
    }),
    { runs: 200 },
  )
})

test('the error of a range is thrown and remembered', async () => {
  const outage = new Error('S3 does not answer')
  const file = createBoundedFile({
    size: 1_000,
    head: Buffer.alloc(10),
    readRange: () => Promise.reject(outage),
  })
  assert.is(file.failure, undefined)
  assert.is(await file.read(500, 1).catch((error: unknown) => error), outage)
  assert.equal(file.failure, { error: outage })
})

test.run()
