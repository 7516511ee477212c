import type { ProgressStep } from '@millrace/shared/uploads/upload-progress.ts'
import { followProgress } from '@millrace/worker/processing/follow-progress.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('following progress')
const rendering = (done: number): ProgressStep => ({ step: 'rendering', done, total: 9 })

/** Follows with a clock that moves only when the test says so. */
function start() {
  const published: ProgressStep[] = []
  const timers = new Set<{ run: () => void; atMs: number }>()
  let nowMs = 0
  const progress = followProgress({
    publish: (step) => published.push(step),
    schedule(run, delayMs) {
      const timer = { run, atMs: nowMs + delayMs }
      timers.add(timer)
      return () => timers.delete(timer)
    },
  })
  return {
    ...progress,
    published,
    timers,
    advance(ms: number): void {
      nowMs += ms
      for (const timer of timers) {
        if (timer.atMs > nowMs) continue
        timers.delete(timer)
        timer.run()
      }
    },
  }
}

test('nothing is published of a file that is processed within 200 ms, and no timer is left', () => {
  const { reach, end, advance, published, timers } = start()
  reach({ step: 'inspecting' })
  advance(199)
  reach({ step: 'publishing' })
  end()
  advance(1_000)
  assert.equal(published, [])
  assert.is(timers.size, 0)
})

test('the current step is published after 200 ms, although nothing happens then', () => {
  const { reach, advance, published } = start()
  reach({ step: 'inspecting' })
  reach(rendering(0))
  advance(200)
  assert.equal(published, [rendering(0)])
})

test('a step that follows a pause is published at once', () => {
  const { reach, advance, published } = start()
  reach({ step: 'inspecting' })
  advance(200)
  advance(250)
  reach(rendering(0))
  assert.equal(published, [{ step: 'inspecting' }, rendering(0)])
})

test('at most four steps a second are published, and the last one always', () => {
  const { reach, advance, published } = start()
  reach({ step: 'inspecting' })
  advance(200)
  for (let done = 0; done < 9; done++) {
    reach(rendering(done))
    advance(50)
  }
  assert.equal(published, [{ step: 'inspecting' }, rendering(4)])
  advance(50)
  assert.equal(published.at(-1), rendering(8))
  assert.is(published.length, 3)
})

test('nothing is published after the end', () => {
  const { reach, end, advance, published } = start()
  reach({ step: 'inspecting' })
  advance(200)
  reach(rendering(1))
  end()
  reach({ step: 'publishing' })
  advance(1_000)
  assert.equal(published, [{ step: 'inspecting' }])
})

test.run()
