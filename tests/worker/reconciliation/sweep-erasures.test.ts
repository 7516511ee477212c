import { erasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createSweepErasures } from '@millrace/worker/reconciliation/sweep-erasures.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createListingS3 } from '../support/listing-s3.ts'
import { createTestRun, runStage } from '../support/sweep-run.ts'

const test = suite('sweep of erasures')
const startedAtMs = Date.UTC(2026, 10, 28)
const quarterMs = 15 * 60_000
const newAddress = (owner: string): UploadAddress => ({ owner, id: newUploadId() })
const [confirmed, due] = [newAddress('a'), newAddress('b')]
const [alsoDue, early] = [newAddress('c'), newAddress('d')]
const nameOf = ({ owner, id }: UploadAddress) => `${owner}/${id}`

/** Runs the stage over four markers, of which one was confirmed and one is too young. */
async function sweep(options: { pageSize?: number; cursor?: string; failing?: UploadAddress } = {}) {
  const { pageSize, cursor, failing } = options
  const keys = [...[confirmed, due, alsoDue, early].map(erasureKey), 'erasures/c/invalid']
  const dates = new Map(keys.map((key) => [key, startedAtMs - quarterMs]))
  dates.set(erasureKey(early), startedAtMs - quarterMs + 1)
  const { s3, pages } = createListingS3({ keys, dates, ...(pageSize && { pageSize }) })
  const { run, findings, turns } = createTestRun({ startedAtMs })
  const steps: string[] = []
  const stage = createSweepErasures({
    s3,
    bucket: 'uploads',
    run,
    records: {
      isErasureConfirmed: async (address) => nameOf(address) === nameOf(confirmed),
      async confirmErasure(address) {
        steps.push(`confirm ${nameOf(address)}`)
      },
    },
    async finishErasure(address) {
      if (address.id === failing?.id) throw new TypeError('a fault of ours')
      steps.push(`erase ${nameOf(address)}`)
      return []
    },
  })
  const cursors = await runStage(stage, cursor)
  s3.destroy()
  assert.is(turns(), pages(), 'each page waits for its turn')
  return { steps, cursors, counts: findings.counts() }
}

const bothSteps = (address: UploadAddress) => [`erase ${nameOf(address)}`, `confirm ${nameOf(address)}`]

for (const pageSize of [1, 2, 1000]) {
  test(`uploads that were erased a quarter of an hour ago are erased again and confirmed, in pages of ${pageSize}`, async () => {
    const { steps, cursors, counts } = await sweep({ pageSize })
    assert.equal(steps.toSorted(), [due, alsoDue].flatMap(bothSteps).toSorted())
    for (const address of [due, alsoDue]) {
      const [erase = '', confirm = ''] = bothSteps(address)
      assert.ok(steps.indexOf(erase) < steps.indexOf(confirm), 'it is confirmed once nothing is left')
    }
    assert.equal(counts, { 'unconfirmed-erasure': 2, checked: 2 })
    assert.is(cursors.length, Math.ceil(5 / pageSize) - 1)
  })
}

test('an interrupted sweep of erasures continues after the page of its cursor', async () => {
  const { steps, cursors } = await sweep({ pageSize: 1, cursor: erasureKey(due) })
  assert.equal(steps, bothSteps(alsoDue))
  assert.equal(cursors, [erasureKey(alsoDue), 'erasures/c/invalid'])
})

test('an erasure that fails is not confirmed, and the next sweep tries again', async () => {
  const { steps, counts } = await sweep({ failing: due })
  assert.equal(steps, bothSteps(alsoDue))
  assert.equal(counts, { 'unconfirmed-erasure': 2, failed: 1, checked: 1 })
})

test.run()
