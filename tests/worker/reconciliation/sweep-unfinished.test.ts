import {
  announcementKey,
  manifestKey,
  originalKey,
  unfinishedKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createSweepUnfinished } from '@millrace/worker/reconciliation/sweep-unfinished.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createListingS3, type Listed } from '../support/listing-s3.ts'
import { createTestRun, runStage } from '../support/sweep-run.ts'

const test = suite('sweep of unfinished uploads')
const startedAtMs = Date.UTC(2026, 10, 28)
/** The week in which an upload may be sent, and the hour in which it may be completed. */
const lifeMs = (7 * 24 + 1) * 60 * 60_000
const uploads = ['a', 'b', 'c'].map((owner, n) => ({
  owner,
  id: smallestUploadId(startedAtMs - lifeMs - 1 - n),
}))
const live = { owner: 'aa', id: smallestUploadId(startedAtMs - lifeMs) }
const names = (addresses: { owner: string; id: string }[]) =>
  addresses.map(({ owner, id }) => `${owner}/${id}`)

/** Runs one stage over a bucket. @returns the uploads that it erased, the cursors after its pages, and what it counted */
async function sweep(stage: 'multipart' | 'unfinished', listed: Listed, cursor?: string) {
  const { s3, pages } = createListingS3(listed)
  const { run, findings, turns } = createTestRun({ startedAtMs })
  const erased: string[] = []
  const stages = createSweepUnfinished({
    s3,
    bucket: 'uploads',
    run,
    async eraseUnfinished({ owner, id }) {
      erased.push(`${owner}/${id}`)
    },
  })
  const cursors = await runStage(stages[stage], cursor)
  s3.destroy()
  assert.is(turns(), pages(), 'each page waits for its turn')
  return { erased, cursors, expired: findings.counts()['expired-parts'] }
}

for (const pageSize of [1, 2, 3, 1000]) {
  test(`parts of expired uploads are erased in pages of ${pageSize}, each upload once in a page`, async () => {
    const [first, second, third] = uploads.map(originalKey)
    if (!first || !second || !third) throw new Error()
    const multipart = [first, second, second, third, originalKey(live), 'originals/zz']
    const { erased, cursors, expired } = await sweep('multipart', { multipart, pageSize })
    assert.equal([erased, expired], [names(uploads), 3])
    const lastOfPages = {
      1: [first, originalKey(live), second, third],
      2: [originalKey(live), second],
      3: [second],
      1000: [],
    }[pageSize]
    assert.equal(cursors, lastOfPages)
  })

  test(`unfinished bytes and announcements of expired uploads are erased in pages of ${pageSize}`, async () => {
    const [first, second, third] = uploads
    if (!first || !second || !third) throw new Error()
    const keys = [unfinishedKey(first), announcementKey(second), unfinishedKey(third)]
    const others = [unfinishedKey(live), `${unfinishedKey(first)}.old`]
    const finished = [originalKey(first), manifestKey(first)]
    const { erased, expired } = await sweep('unfinished', {
      keys: [...keys, ...others, ...finished],
      pageSize,
    })
    assert.equal([erased.toSorted(), expired], [names(uploads), 3])
  })
}

test('a run that was interrupted continues after the page of its cursor', async () => {
  const keys = uploads.map(unfinishedKey)
  const multipart = uploads.map(originalKey)
  const [, ...rest] = names(uploads)
  const bytes = await sweep('unfinished', { keys, pageSize: 1 }, keys[0])
  assert.equal([bytes.erased, bytes.cursors], [rest, [keys[1]]])
  const parts = await sweep('multipart', { multipart, pageSize: 1 }, multipart[0])
  assert.equal([parts.erased, parts.cursors], [rest, [multipart[1]]])
})

test.run()
