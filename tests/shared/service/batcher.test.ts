import { createBatcher } from '@millrace/shared/service/batcher.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('batcher')

test('lookups of one tick are one call, up to the batch size, and each gets its own value', async () => {
  const calls: number[][] = []
  const double = createBatcher(async (numbers: readonly number[]) => {
    calls.push([...numbers])
    return numbers.map((number) => number * 2)
  }, 3)
  assert.equal(await Promise.all([1, 2, 3, 4, 5].map(double)), [2, 4, 6, 8, 10])
  assert.is(await double(6), 12)
  assert.equal(calls, [[1, 2, 3], [4, 5], [6]])
})

test('lookups of different callbacks of one tick are one call', async () => {
  const calls: number[][] = []
  const double = createBatcher(async (numbers: readonly number[]) => {
    calls.push([...numbers])
    return numbers.map((number) => number * 2)
  }, 3)
  const first = double(1)
  for (let callback = 0; callback < 5; callback++) {
    await new Promise<void>((resolve) => process.nextTick(resolve))
  }
  assert.equal(await Promise.all([first, double(2)]), [2, 4])
  assert.equal(calls, [[1, 2]])
})

test('equal keys are looked up once each, and again later', async () => {
  let count = 0
  const next = createBatcher(async (keys: readonly string[]) => keys.map(() => ++count), 10)
  assert.equal(await Promise.all([next('a'), next('a')]), [1, 2])
  assert.is(await next('a'), 3)
})

test('a call that fails rejects the lookups of its batch only', async () => {
  const echo = createBatcher(async (names: readonly string[]) => {
    if (names.includes('bad')) throw new Error('refused')
    return [...names]
  }, 2)
  const settled = await Promise.allSettled(['good', 'bad', 'other'].map(echo))
  assert.equal(
    settled.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))),
    ['Error: refused', 'Error: refused', 'other'],
  )
  assert.is(await echo('later'), 'later')
})

test('a call that returns too few values rejects its lookups', async () => {
  const echo = createBatcher(async (names: readonly string[]) => names.slice(1), 10)
  const settled = await Promise.allSettled(['first', 'second'].map(echo))
  assert.equal(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
})

test.run()
