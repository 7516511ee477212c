import { createPace } from '@millrace/worker/reconciliation/pace.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('pace')

test('a pace gives turns at its rate, and none before', async () => {
  const nextTurn = createPace({ perSecond: 200, signal: new AbortController().signal })
  const startedAt = performance.now()
  for (let turn = 0; turn < 21; turn++) await nextTurn()
  // The first turn is free. A timer may fire up to 1 ms early, which adds up to nothing.
  assert.ok(performance.now() - startedAt >= 20 * 5 - 1)
})

test('a pace ends its waiting when the signal aborts', async () => {
  const stopping = new AbortController()
  const nextTurn = createPace({ perSecond: 0.001, signal: stopping.signal })
  await nextTurn()
  const waiting = nextTurn()
  stopping.abort(new Error('stopped'))
  const ended = await waiting.catch((error: unknown) => error)
  assert.instance(ended, Error)
  const later = await nextTurn().catch((error: unknown) => error)
  assert.match(String(later), /stopped/)
})

test.run()
