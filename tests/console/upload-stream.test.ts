import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { WatchOptions } from '@millrace/client'
import * as assert from 'uvu/assert'
import {
  createUploadStream,
  type UploadListener,
  type UploadStream,
} from '../../packages/console/src/sending/transfers/upload-stream.ts'
import { suite } from '../support/suite.ts'

const test = suite('stream of uploads in the console')
/** Longer than any delay after a failure, in ms. */
const longMs = 60_000

test.before.each(() => {
  mock.method(console, 'warn', () => undefined)
})
test.after.each(() => mock.restoreAll())

test('a refused stream is opened again after a while, for all who still listen', () =>
  withClock(async (follow) => {
    const { client, watches } = refusingClient()
    const stream = createUploadStream({ client })
    const told: string[] = []
    follow(stream, { onErased: (id) => told.push(id) })
    await turn()
    assert.is(watches.length, 1)
    mock.timers.tick(longMs)
    assert.is(watches.length, 2)
    watches[1]?.onErased?.({ id: '1' })
    assert.equal(told, ['1'])
  }))

test('a refused stream is not opened again when nobody listens any more', () =>
  withClock(async (follow) => {
    const { client, watches } = refusingClient()
    const stopListening = follow(createUploadStream({ client }))
    await turn()
    stopListening()
    mock.timers.tick(longMs)
    assert.is(watches.length, 1)
  }))

test('a refused stream is opened at once for the next listener', () =>
  withClock(async (follow) => {
    const { client, watches } = refusingClient()
    const stream = createUploadStream({ client })
    follow(stream)
    await turn()
    follow(stream)
    assert.is(watches.length, 2)
  }))

test('the delay before a refused stream is opened again grows, until it has begun', () =>
  withClock(async (follow) => {
    const { client, watches } = refusingClient()
    follow(createUploadStream({ client }))
    const delays: number[] = []
    for (let round = 1; round <= 6; round += 1) {
      await turn()
      delays.push(passedUntil(() => watches.length > round))
    }
    assert.ok(delays.every((delay, index) => delay <= 1_000 * 2 ** index))
    assert.ok(Number(delays.at(-1)) > 10_000, `The last delay was ${delays.at(-1)} ms.`)
    watches.at(-1)?.onSnapshot?.([], undefined)
    await turn()
    const before = watches.length
    assert.ok(passedUntil(() => watches.length > before) <= 1_000)
  }))

test.run()

type Follow = (stream: UploadStream, listener?: UploadListener) => () => void

/** Runs a test whose timers end when it says so, and whose listeners end with it. The suite's own limit has begun before. */
async function withClock(run: (follow: Follow) => Promise<void>): Promise<void> {
  const followed: (() => void)[] = []
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    await run((stream, listener = {}) => {
      const stop = stream.listen(listener)
      followed.push(stop)
      return stop
    })
  } finally {
    for (const stop of followed) stop()
    mock.timers.reset()
  }
}

/** A client whose API refuses each stream. */
function refusingClient() {
  const watches: WatchOptions[] = []
  const watch = async (options: WatchOptions) => {
    watches.push(options)
    throw new Error('The API refuses.')
  }
  return { client: { watch }, watches }
}

/** @returns how much time passes until something is so, in ms */
function passedUntil(isSo: () => boolean): number {
  let passedMs = 0
  for (; !isSo() && passedMs < longMs; passedMs += 100) mock.timers.tick(100)
  return passedMs
}
