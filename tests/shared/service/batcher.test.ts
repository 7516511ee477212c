import { createBatcher } from '@millrace/shared/service/batcher.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('ask together')

test('asks once for all of one turn, and gives each its own answer', async () => {
  const asked: number[][] = []
  const double = createBatcher(async (numbers: number[]) => {
    asked.push(numbers)
    return numbers.map((number) => number * 2)
  }, 3)
  assert.equal(await Promise.all([1, 2, 3, 4, 5].map(double)), [2, 4, 6, 8, 10])
  assert.is(await double(6), 12)
  assert.equal(asked, [[1, 2, 3], [4, 5], [6]])
})

test('fails those that were asked together, and nobody else', async () => {
  const ask = createBatcher(async (names: string[]) => {
    if (names.includes('bad')) throw new Error('refused')
    return names
  }, 2)
  const settled = await Promise.allSettled(['good', 'bad', 'other'].map(ask))
  assert.equal(
    settled.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))),
    ['Error: refused', 'Error: refused', 'other'],
  )
  assert.is(await ask('later'), 'later')
})

test('leaves no question waiting for an answer that is missing', async () => {
  const ask = createBatcher(async (names: string[]) => names.slice(1), 10)
  const settled = await Promise.allSettled(['first', 'second'].map(ask))
  assert.equal(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
})

test.run()
