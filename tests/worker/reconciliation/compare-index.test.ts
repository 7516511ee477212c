import { AppError } from '@millrace/shared/service/app-error.ts'
import { arrivalGraceMs, type Upload } from '@millrace/shared/uploads/upload.ts'
import { smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createCompareIndex, type IndexRange } from '@millrace/worker/reconciliation/compare-index.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestRun } from '../support/sweep-run.ts'

const test = suite('comparison of indexes')
const owner = 's-tester'
const startedAtMs = Date.UTC(2026, 10, 28)
const youngAfterMs = startedAtMs - 60 * 60_000
const inS3: ReadonlySet<string> = new Set()
/** Returns an id of some ms before uploads are young in this run. */
const idOf = (beforeMs: number) => smallestUploadId(youngAfterMs - beforeMs)

function recordOf(properties: Partial<Upload>): Upload {
  const at = new Date(youngAfterMs).toISOString()
  return {
    ...{ owner, id: idOf(0), state: 'received', findings: {}, variants: [], createdAt: at, updatedAt: at },
    intent: { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' },
    ...properties,
  }
}

type Setting = {
  /** The ids of each owner's index, oldest first. */
  indexes: Record<string, string[]>
  /** The record of each id, or the error that reading it ends with. */
  records?: Record<string, Upload | AppError>
  /** An id whose upload exists after all when it is checked. */
  existing?: string
}

/** Compares indexes with what S3 and Redis have. */
async function compare(ranges: IndexRange[], { indexes, records = {}, existing }: Setting) {
  const { run, findings, turns } = createTestRun({ startedAtMs, youngAfterMs })
  const read: string[] = []
  const checked: string[] = []
  const removed: string[] = []
  const [indexReads, recordReads] = [createGauge(), createGauge()]
  const compareIndex = createCompareIndex({
    run,
    listedIds: {
      between: (of, { after = '', upTo = '~', limit }) =>
        indexReads.during(() => (indexes[of] ?? []).filter((id) => id > after && id <= upTo).slice(0, limit)),
    },
    records: {
      find: ({ id }) =>
        recordReads.during(() => {
          read.push(id)
          const record = records[id]
          if (record instanceof AppError) throw record
          return record && { upload: record, revision: 1, isChecked: true }
        }),
    },
    index: {
      async remove(of, entries) {
        removed.push(...entries.map(({ id }) => `${of}/${id}`))
      },
    },
    async checkUpload({ id }, options) {
      assert.equal(options, { isBackfill: true })
      checked.push(id)
      return id === existing ? { upload: recordOf({ id }), revision: 1, isCopy: false } : undefined
    },
  })
  await compareIndex(ranges)
  const most = { indexes: indexReads.most(), records: recordReads.most() }
  return { read, checked, removed, most, turns: turns(), counts: findings.counts() }
}

/** Counts how many calls run at a time. */
function createGauge() {
  let [running, most] = [0, 0]
  return {
    most: () => most,
    async during<Result>(work: () => Result): Promise<Result> {
      running += 1
      most = Math.max(most, running)
      await new Promise<void>((resolve) => setImmediate(resolve))
      running -= 1
      return work()
    },
  }
}

test('an id that neither Redis nor S3 knows leaves the index, unless it is young or exists after all', async () => {
  const [old, existing, oldest, young] = [idOf(2), idOf(1), idOf(0), idOf(-1)]
  const indexes = { [owner]: [old, existing, oldest, young] }
  const { checked, removed, counts } = await compare([{ owner, inS3 }], { indexes, existing })
  assert.equal(checked, [old, existing, oldest])
  assert.equal(removed, [`${owner}/${old}`, `${owner}/${oldest}`])
  assert.equal(counts, { 'id-without-upload': 3, checked: 3 })
})

test('a record of bytes that S3 does not have is checked, unless it is young or its bytes may still come', async () => {
  const [lost, young, awaiting, expired] = [idOf(4), idOf(3), idOf(2), idOf(1)]
  const records = {
    [lost]: recordOf({}),
    [young]: recordOf({ updatedAt: new Date(youngAfterMs + 1).toISOString() }),
    [awaiting]: recordOf({
      state: 'awaiting',
      expiresAt: new Date(startedAtMs - arrivalGraceMs + 1).toISOString(),
    }),
    [expired]: recordOf({
      state: 'awaiting',
      expiresAt: new Date(startedAtMs - arrivalGraceMs - 1).toISOString(),
    }),
  }
  const indexes = { [owner]: Object.keys(records) }
  const { checked, removed, counts } = await compare([{ owner, inS3 }], { indexes, records })
  assert.equal([checked, removed], [[lost, expired], []])
  assert.equal(counts, { 'record-without-object': 2, checked: 2 })
})

test('ids of which S3 has an object are not looked at', async () => {
  const [known, unknown] = [idOf(2), idOf(1)]
  const indexes = { [owner]: [known, unknown], other: [known] }
  const ranges = [
    { owner, inS3: new Set([known]) },
    { owner: 'other', inS3 },
  ]
  const { read, removed } = await compare(ranges, { indexes })
  assert.equal(read, [unknown, known])
  assert.equal(removed, [`${owner}/${unknown}`, `other/${known}`])
})

test('only ids of the range are compared', async () => {
  const ids = [idOf(4), idOf(3), idOf(2), idOf(1)]
  const { read } = await compare([{ owner, after: ids[0], upTo: ids[2], inS3 }], {
    indexes: { [owner]: ids },
  })
  assert.equal(read, [ids[1], ids[2]])
})

test('a record that cannot be read counts as failed, and the others are compared', async () => {
  const [unreadable, lost] = [idOf(2), idOf(1)]
  const records = { [unreadable]: new AppError('unreadable_record'), [lost]: recordOf({}) }
  const indexes = { [owner]: [unreadable, lost] }
  const { read, checked, removed, counts } = await compare([{ owner, inS3 }], { indexes, records })
  assert.equal(read, [unreadable, lost, unreadable], 'its error is found at the pace of checks')
  assert.equal([checked, removed], [[lost], []])
  assert.equal(counts, { failed: 1, 'record-without-object': 1, checked: 1 })
})

test('Redis without an answer ends the run', async () => {
  const records = { [idOf(1)]: new AppError('dependency_unavailable') }
  const run = compare([{ owner, inS3 }], { indexes: { [owner]: [idOf(1)] }, records })
  assert.is(await run.catch((error: unknown) => error), records[idOf(1)])
})

test('long indexes are read to their end: a thousand ids, a hundred indexes and a thousand records at a time', async () => {
  const ids = Array.from({ length: 2_500 }, (_, n) => idOf(2_500 - n))
  const owners = Array.from({ length: 150 }, (_, n) => `s-${n}`)
  const indexes: Record<string, string[]> = {
    's-3': ids,
    's-5': ids.slice(0, 1_000),
    's-140': ids.slice(0, 7),
  }
  const young = Object.fromEntries(
    ids.map((id) => [id, recordOf({ updatedAt: new Date(startedAtMs).toISOString() })]),
  )
  const ranges = owners.map((of) => ({ owner: of, inS3 }))
  const { read, most, turns } = await compare(ranges, { indexes, records: young })
  assert.equal(read.toSorted(), Object.values(indexes).flat().toSorted())
  assert.equal(most, { indexes: 100, records: 1_000 })
  // The second and third thousand of the first index, and what may follow the second one's thousand.
  assert.is(turns, 2, 'each further page waits for its turn')
})

test.run()
