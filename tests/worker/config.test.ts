import { availableParallelism } from 'node:os'
import { builtInPresets } from '@millrace/shared/preset.ts'
import { readConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('worker config')

const needed = {
  REDIS_URL: 'redis://127.0.0.1:6379',
  BUCKET: 'millrace',
  EVENTS_QUEUE_URL: 'http://127.0.0.1:9324/000000000000/events',
}

test('has a default for all but the addresses', () => {
  const { instance, ...config } = readConfig(needed)
  assert.ok(instance.endsWith(`-${process.pid}`))
  assert.equal(config, {
    redisUrl: needed.REDIS_URL,
    redisPrefix: 'millrace',
    bucket: 'millrace',
    eventsQueueUrl: needed.EVENTS_QUEUE_URL,
    logLevel: 'info',
    presets: builtInPresets,
    slots: 2 * availableParallelism(),
    drainDeadlineMs: 25_000,
    reconcileIntervalMs: 600_000,
    maxImageBytes: 256 * 1024 * 1024,
    maxImagePixels: 268_402_689,
  })
})

test('names every variable that is wrong, and no value', () => {
  const wrong = {
    REDIS_URL: 'http://secret@host',
    WORKER_SLOTS: '0',
    LOG_LEVEL: 'loud',
    MAX_IMAGE_PIXELS: '268402690',
    DRAIN_DEADLINE_MS: 'soon',
  }
  assert.throws(
    () => readConfig(wrong),
    (error: Error) => {
      const names = [...Object.keys(wrong), 'BUCKET', 'EVENTS_QUEUE_URL']
      assert.equal(
        names.filter((name) => !error.message.includes(name)),
        [],
      )
      return !/secret|loud|soon|268402690/.test(error.message)
    },
  )
})

test.run()
