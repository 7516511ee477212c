import { createPace } from '@millrace/worker/reconciliation/pace.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('pace')

test('a pace gives turns at its rate although timers are late, and makes up for none after a pause', async () => {
  let nowMs = 1000
  const waits: number[] = []
  const clock = {
    now: () => nowMs,
    async wait(ms: number) {
      waits.push(ms)
      nowMs += ms + 20
    },
  }
  const nextTurn = createPace({ perSecond: 10, signal: new AbortController().signal, clock })
  for (let turn = 0; turn < 4; turn++) await nextTurn()
  assert.equal([waits, nowMs], [[100, 80, 80], 1320], 'the third turn after the first is due at 1300')
  nowMs += 10_000
  waits.length = 0
  for (let turn = 0; turn < 2; turn++) await nextTurn()
  assert.equal(waits, [100])
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
