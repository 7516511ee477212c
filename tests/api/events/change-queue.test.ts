import { createChangeQueue } from '@millrace/api/events/change-queue.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('change queue')
const change = (sequence: number) => ({ sequence, erased: '0198c1a0-0000-7000-8000-000000000000' })

test('changes are returned in order, also to a reader that waits', async () => {
  const queue = createChangeQueue(new AbortController().signal)
  const first = queue.next()
  for (const sequence of [1, 2, 3]) queue.add(change(sequence))
  assert.equal([await first, await queue.next(), await queue.next()], [change(1), change(2), change(3)])
})

test('more changes than the queue holds are replaced by missed', async () => {
  const queue = createChangeQueue(new AbortController().signal)
  for (let sequence = 1; sequence <= 100_000; sequence++) queue.add(change(sequence))
  assert.is(await queue.next(), 'missed')
  const left = [queue.next()]
  queue.add(change(100_001))
  let last = await left[0]
  while (last !== 'missed' && last?.sequence !== 100_001) last = await queue.next()
  assert.equal(last, change(100_001))
})

test('an aborted signal ends the queue, also for a reader that waits', async () => {
  const controller = new AbortController()
  const queue = createChangeQueue(controller.signal)
  const waiting = queue.next()
  controller.abort(new Error('disconnected'))
  await waiting.then(
    () => assert.unreachable(),
    (error) => assert.is(error.message, 'disconnected'),
  )
})

test.run()
