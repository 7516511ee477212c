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

test('a hundred changes wait; one more replaces all of them by missed', async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => index + 1)
  const full = createChangeQueue(new AbortController().signal)
  for (const sequence of numbers) full.add(change(sequence))
  for (const sequence of numbers) assert.equal(await full.next(), change(sequence))

  const queue = createChangeQueue(new AbortController().signal)
  for (const sequence of [...numbers, 101]) queue.add(change(sequence))
  queue.add(change(102))
  assert.equal([await queue.next(), await queue.next()], ['missed', change(102)])
  const next = queue.next()
  queue.add(change(103))
  assert.equal(await next, change(103))
})

test('progress that waits is replaced by later progress of the same upload, and never makes the queue full', async () => {
  const queue = createChangeQueue(new AbortController().signal)
  const progress = (id: string, done: number, revision = 1) => ({
    sequence: 1,
    revision,
    progress: { id, step: 'rendering' as const, done, total: 1_000 },
  })
  for (let done = 0; done <= 1_000; done++) for (const id of ['a', 'b']) queue.add(progress(id, done))
  queue.add(progress('a', 5, 2))
  for (let sequence = 1; sequence < 98; sequence++) queue.add(change(sequence))
  for (const id of ['c', 'd']) queue.add(progress(id, 0))
  const received = []
  for (let count = 0; count < 100; count++) received.push(await queue.next())
  assert.equal(received.slice(0, 3), [progress('a', 1_000), progress('b', 1_000), progress('a', 5, 2)])
  assert.equal(
    received.slice(3),
    Array.from({ length: 97 }, (_, index) => change(index + 1)),
  )
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
