import { createWorkerShares } from '@millrace/worker/webhooks/worker-shares.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('worker shares')

/** Takes slots until there are none left. @returns how many, and a function that gives one back */
function fill(take: () => (() => void) | undefined) {
  const taken: (() => void)[] = []
  for (let free = take(); free; free = take()) taken.push(free)
  return { count: taken.length, free: () => taken.pop()?.() }
}

test('a tenant uses at most half of the slots of a worker, and an eighth for slow webhooks', () => {
  const shares = createWorkerShares(32)
  const slow = fill(() => shares.take('a', 5_000))
  const prompt = fill(() => shares.take('a', 100))
  assert.equal([slow.count, prompt.count], [4, 12])
  assert.is(shares.take('a', 5_000), undefined)
  assert.is(fill(() => shares.take('b', 100)).count, 16)
  prompt.free()
  assert.is(fill(() => shares.take('a', 100)).count, 1)
})

test('slow and new webhooks of all tenants leave slots for prompt ones', () => {
  const shares = createWorkerShares(32)
  const tenants = ['a', 'b', 'c', 'd', 'e']
  const counts = (meanMs: number | undefined) =>
    tenants.map((tenant) => fill(() => shares.take(tenant, meanMs)).count)
  assert.equal(counts(15_000), [4, 4, 4, 0, 0])
  assert.equal(counts(undefined), [4, 4, 0, 0, 0])
  assert.is(fill(() => shares.take('e', 100)).count, 16)
})

test('a worker with one slot sends to slow webhooks too', () => {
  const shares = createWorkerShares(1)
  assert.is(fill(() => shares.take('a', 5_000)).count, 1)
})

test.run()
