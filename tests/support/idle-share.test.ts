import * as assert from 'uvu/assert'
import { createIdleShare } from './idle-share.ts'
import { suite } from './suite.ts'

const test = suite('idle share')

test('the share is that of the time since the last call', () => {
  const times = [
    { idle: 1_000, all: 4_000 },
    { idle: 1_500, all: 6_000 },
    { idle: 3_500, all: 8_000 },
  ]
  const idleShare = createIdleShare({ read: () => times.shift() ?? { idle: 3_500, all: 8_000 } })
  assert.is(idleShare(), 0.25)
  assert.is(idleShare(), 1)
  assert.is(idleShare(), 0, 'without any time in between, nothing was idle')
})

test('this machine has a share from 0 to 1', async () => {
  const idleShare = createIdleShare()
  // Ticks of the clock of cores are 10 ms long.
  const endMs = performance.now() + 30
  while (performance.now() < endMs);
  const share = idleShare()
  assert.ok(share >= 0 && share < 1, `one core was busy: ${share}`)
})

test.run()
