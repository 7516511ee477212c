import { mock } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createKeepUploadOpen } from '@millrace/api/direct/keep-upload-open.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('renewals of direct uploads')
const minuteMs = 60_000
const address = { owner: 'someone', id: newUploadId() }

test('a direct upload is renewed every three minutes, so it stays open though two renewals fail', async () => {
  mock.timers.enable({ apis: ['setInterval', 'Date'], now: 0 })
  try {
    /** When the upload expires, after a renewal at each of these times. In ms. */
    const renewals: { atMs: number; expiresAtMs: number }[] = []
    const warnings: unknown[] = []
    let isRedisDown = false
    const keepUploadOpen = createKeepUploadOpen({
      records: {
        update: async () => {
          if (isRedisDown) throw new Error('Redis is down.')
          return undefined
        },
      },
      quota: {
        extend: async (_address, expiresAtMs) => {
          renewals.push({ atMs: Date.now(), expiresAtMs })
        },
      },
      log: { warn: (details: unknown) => warnings.push(details) },
    })
    const pass = async (minutes: number) => {
      for (let minute = 0; minute < minutes; minute++) {
        mock.timers.tick(minuteMs)
        await nextTurn()
      }
    }
    await keepUploadOpen(address, async () => {
      await pass(3)
      isRedisDown = true
      await pass(8)
      isRedisDown = false
      await pass(1)
    })
    assert.equal(renewals, [
      { atMs: 3 * minuteMs, expiresAtMs: 13 * minuteMs },
      { atMs: 12 * minuteMs, expiresAtMs: 22 * minuteMs },
    ])
    assert.is(warnings.length, 2)
    // The work has ended.
    await pass(9)
    assert.is(renewals.length, 2)
  } finally {
    mock.timers.reset()
  }
})

test.run()
