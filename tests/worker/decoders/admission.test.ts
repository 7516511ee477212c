import { createAdmission } from '@millrace/worker/decoders/admission.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('admission')

/** Starts jobs of an admission and records which are admitted. */
function startJobs(deps: { capacity: number; largeCapacity?: number }) {
  const waitingCounts: number[] = []
  const admission = createAdmission({
    largeCapacity: deps.capacity,
    ...deps,
    onLargeWaiting: (count) => waitingCounts.push(count),
  })
  const admitted: string[] = []
  const releases = new Map<string, () => void>()
  return {
    admitted,
    waitingCounts,
    /** Asks for a share, and waits one turn of the event loop, in which it may be admitted. */
    async ask(name: string, cost: number, { isLarge = false, signal = new AbortController().signal } = {}) {
      const asked = admission.acquire({ cost, isLarge }, signal).then(
        (release) => {
          admitted.push(name)
          releases.set(name, release)
        },
        (error: unknown) => admitted.push(`${name}: ${error instanceof Error ? error.message : error}`),
      )
      await new Promise(setImmediate)
      return { asked }
    },
    async release(name: string) {
      releases.get(name)?.()
      await new Promise(setImmediate)
    },
  }
}

test('a job that does not fit waits, and is admitted when there is room', async () => {
  const jobs = startJobs({ capacity: 10 })
  await jobs.ask('a', 6)
  await jobs.ask('b', 6)
  assert.equal(jobs.admitted, ['a'])
  await jobs.release('a')
  assert.equal(jobs.admitted, ['a', 'b'])
})

test('a small job passes a large one that does not fit', async () => {
  const jobs = startJobs({ capacity: 10 })
  await jobs.ask('a', 6)
  await jobs.ask('big', 10)
  await jobs.ask('small', 2)
  assert.equal(jobs.admitted, ['a', 'small'])
})

test('a large job that was passed often is the next', async () => {
  const jobs = startJobs({ capacity: 10 })
  await jobs.ask('a', 1)
  await jobs.ask('big', 10)
  for (let i = 0; i < 120; i++) {
    await jobs.ask(`small ${i}`, 1)
    await jobs.release(`small ${i}`)
  }
  assert.is(jobs.admitted.length, 1 + 100)
  await jobs.release('a')
  assert.is(jobs.admitted.at(-1), 'big')
  await jobs.release('big')
  assert.is(jobs.admitted.length, 1 + 100 + 1 + 10)
})

test('large jobs leave room for small ones, which pass them without a limit', async () => {
  const jobs = startJobs({ capacity: 3, largeCapacity: 2 })
  for (const name of ['big 1', 'big 2', 'big 3']) await jobs.ask(name, 1, { isLarge: true })
  assert.equal(jobs.admitted, ['big 1', 'big 2'])
  for (let i = 0; i < 200; i++) {
    await jobs.ask(`small ${i}`, 1)
    await jobs.release(`small ${i}`)
  }
  assert.is(jobs.admitted.length, 202)
  await jobs.release('big 1')
  assert.is(jobs.admitted.at(-1), 'big 3')
  assert.equal(jobs.waitingCounts, [1, 0])
})

test('one large job is admitted although it is above the capacity of large ones', async () => {
  const jobs = startJobs({ capacity: 10, largeCapacity: 5 })
  await jobs.ask('big', 9, { isLarge: true })
  assert.equal(jobs.admitted, ['big'])
})

test('an aborted job leaves the queue, and the next one takes its place', async () => {
  const jobs = startJobs({ capacity: 10 })
  const stopping = new AbortController()
  await jobs.ask('a', 5)
  await jobs.ask('big', 10, { isLarge: true, signal: stopping.signal })
  for (let i = 0; i < 110; i++) {
    await jobs.ask(`small ${i}`, 1)
    await jobs.release(`small ${i}`)
  }
  assert.is(jobs.admitted.length, 101)
  stopping.abort(new Error('stop'))
  await new Promise(setImmediate)
  assert.ok(jobs.admitted.includes('big: stop'))
  assert.is(jobs.admitted.length, 101 + 1 + 5)
  assert.equal(jobs.waitingCounts, [1, 0])
})

test('a job whose signal has aborted before is not admitted, and holds nothing', async () => {
  const jobs = startJobs({ capacity: 10 })
  const stopped = AbortSignal.abort(new Error('stop'))
  await jobs.ask('a', 4, { signal: stopped })
  await jobs.ask('big', 10)
  assert.equal(jobs.admitted, ['a: stop', 'big'])
})

test('whatever is asked, released and aborted, the capacity is kept, and in the end all is given back', async () => {
  const capacity = 10
  const step = fc.record({
    cost: fc.integer({ min: 1, max: capacity }),
    isLarge: fc.boolean(),
    next: fc.constantFrom('release first', 'release last', 'abort', 'wait'),
  })
  await checkProperty(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const largeCapacity = 6
      const admission = createAdmission({ capacity, largeCapacity })
      const held = new Map<() => void, { cost: number; isLarge: boolean }>()
      const stopping = new AbortController()
      const asked: Promise<unknown>[] = []
      const release = (which: 'first' | 'last') => {
        const [free] = which === 'first' ? held.keys() : [...held.keys()].reverse()
        if (!free) return
        held.delete(free)
        free()
      }
      for (const { cost, isLarge, next } of steps) {
        const own = next === 'abort' ? new AbortController() : stopping
        const asking = admission
          .acquire({ cost, isLarge }, own.signal)
          .then((free) => held.set(free, { cost, isLarge }))
          .catch(() => {})
        asked.push(asking)
        if (next === 'abort') own.abort()
        await new Promise(setImmediate)
        if (next === 'release first') release('first')
        if (next === 'release last') release('last')
        await new Promise(setImmediate)
        const shares = [...held.values()]
        const sum = shares.reduce((total, share) => total + share.cost, 0)
        assert.is(admission.used(), sum)
        assert.ok(sum <= capacity)
        const large = shares.filter((share) => share.isLarge)
        const largeSum = large.reduce((total, share) => total + share.cost, 0)
        assert.ok(largeSum <= largeCapacity || large.length === 1)
      }
      while (held.size > 0) {
        release('first')
        await new Promise(setImmediate)
      }
      await Promise.all(asked)
      assert.is(admission.used(), 0)
    }),
    { runs: 100 },
  )
})

test('a share is given back once', async () => {
  const jobs = startJobs({ capacity: 2 })
  await jobs.ask('a', 1)
  await jobs.ask('b', 1)
  await jobs.release('a')
  await jobs.release('a')
  await jobs.ask('c', 1)
  await jobs.ask('d', 1)
  assert.equal(jobs.admitted, ['a', 'b', 'c'])
})

test.run()
