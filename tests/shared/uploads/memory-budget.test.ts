import { keyLives, memoryBudget } from '@millrace/shared/uploads/memory-budget.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('life of keys by the memory of Redis')
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const nowMs = Date.UTC(2026, 10, 28)

const upload: Upload = {
  id: newUploadId(),
  owner: 'someone',
  state: 'awaiting',
  intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
  findings: {},
  variants: [],
  createdAt: '',
  updatedAt: '',
}
const arrival = { etag: 'e', size: 1 }

/** Returns how long the record and its owner's keys live. @param share of Redis' memory limit */
async function lives(fields: Partial<Upload>, share = 0): Promise<[record: number, ownerKeys: number]> {
  const { record, ownerKeys } = await keyLives({ ...upload, ...fields }, async () => share, nowMs)
  return [record, ownerKeys]
}

test('the shares of memory at which records give way are in order, and a quarter is left for uploads under way', () => {
  assert.equal(memoryBudget, {
    shortLife: 0.5,
    trimTo: 0.55,
    trimAbove: 0.6,
    shortestLife: 0.65,
    refuseUploads: 0.75,
  })
})

test('a finished record stays for a week, an hour or a minute, and its owner’s keys for ten days or one', async () => {
  for (const state of ['ready', 'rejected', 'failed'] as const) {
    for (const [share, record, ownerKeys] of [
      [0, 7 * dayMs, 10 * dayMs],
      [0.49, 7 * dayMs, 10 * dayMs],
      [0.5, hourMs, dayMs],
      [0.64, hourMs, dayMs],
      [0.65, minuteMs, dayMs],
      [1, minuteMs, dayMs],
    ] as const)
      assert.equal(await lives({ state, arrival }, share), [record, ownerKeys], `${state} at ${share}`)
  }
})

test('a record of an upload that is processed stays for two weeks, however little memory there is', async () => {
  for (const state of ['received', 'processing'] as const) {
    assert.is((await lives({ state, arrival }, 0))[0], 14 * dayMs)
    assert.is((await lives({ state, arrival }, 1))[0], 14 * dayMs)
  }
})

test('an awaiting record stays until an hour after its expiry, for a minute at least, and asks nothing of the memory', async () => {
  const unasked = () => {
    throw new Error('The memory does not matter.')
  }
  for (const [expiresInMs, record] of [
    [hourMs, 2 * hourMs],
    [7 * dayMs, 7 * dayMs + hourMs],
    [-hourMs + 2 * minuteMs, 2 * minuteMs],
    [-hourMs + minuteMs / 2, minuteMs],
    [-2 * hourMs, minuteMs],
  ] as const) {
    const expiresAt = new Date(nowMs + expiresInMs).toISOString()
    const found = await keyLives({ ...upload, expiresAt }, unasked, nowMs)
    assert.equal(found, { record, ownerKeys: Math.max(record, hourMs) }, expiresAt)
  }
  assert.equal(await lives({}), [14 * dayMs, 14 * dayMs], 'of an older version, without an expiry')
})

test('an import that ended without bytes is known for a day', async () => {
  for (const state of ['rejected', 'failed'] as const) assert.equal(await lives({ state }, 1), [dayMs, dayMs])
})

test.run()
