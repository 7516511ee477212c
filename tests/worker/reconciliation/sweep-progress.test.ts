import { randomUUID } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createUploadQueue, type UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { erasureKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createChecks } from '@millrace/worker/reconciliation/checks.ts'
import { createFindings } from '@millrace/worker/reconciliation/findings.ts'
import { createSweeper } from '@millrace/worker/reconciliation/reconciliation.ts'
import { createSweepObjects } from '@millrace/worker/reconciliation/sweep-objects.ts'
import { newSweepState, type SweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createListingS3 } from '../support/listing-s3.ts'
import { replaceDelays } from '../support/replace-delays.ts'
import { createTestSweeper } from '../support/sweep-now.ts'

const test = suite('progress of a sweep')
const log = createLog({ level: 'silent', instance: 'test' })
const bucket = 'uploads'
const prefix = `test-${randomUUID()}`
const owner = 's-tester'
const signal = new AbortController().signal
let redis: Redis
let queue: UploadQueue
let s3: S3Client

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', log)
  queue = createUploadQueue({ redis, prefix })
})
test.after.each(() => s3.destroy())
test.after(async () => {
  await queue.close()
  redis.disconnect()
})

const newAddress = () => ({ owner, id: newUploadId() })

test('a page is behind the cursor only once the indexes of its owners were compared', async () => {
  const address = newAddress()
  s3 = createListingS3({ keys: [address, newAddress()].map(originalKey), pageSize: 1 }).s3
  const { records, manifests, originals, checkUpload } = createTestLifecycle({
    redis,
    prefix,
    s3,
    bucket,
    queue,
  })
  const findings = createFindings()
  const checks = createChecks({ nextCheck: async () => {}, findings, isDryRun: true, log })
  const compared: string[] = []
  const sweepObjects = createSweepObjects({
    ...{ s3, bucket, queue, manifests, originals, records, checkUpload },
    hasRoom: async () => true,
    async compareIndex(ranges) {
      compared.push(...ranges.flatMap(({ inS3 }) => [...inS3]))
      throw new Error('Redis is unavailable')
    },
    run: {
      ...{ findings, checks, startedAtMs: Date.now(), youngAfterMs: Date.now(), verifiedBeforeMs: 0 },
      listsVariants: false,
      nextPage: async () => {},
      reportUnsettled: () => {},
    },
  })
  const cursors: string[] = []
  const run = async () => {
    for await (const cursor of sweepObjects('')) cursors.push(cursor)
  }
  assert.match(String(await run().catch((error: unknown) => error)), 'Redis is unavailable')
  assert.equal([compared, cursors], [[address.id], []])
})

test('a sweep lists ten pages a second, and checks fifty uploads a second', async () => {
  s3 = createListingS3({ keys: Array.from({ length: 4 }, newAddress).map(originalKey) }).s3
  let checked = 0
  const lifecycle = {
    ...createTestLifecycle({ redis, prefix, s3, bucket, queue }),
    async checkUpload() {
      checked += 1
      return undefined
    },
  }
  const { sweep } = createSweeper({ redis, prefix, s3, bucket, queue, lifecycle, log })
  const { now } = performance
  // A whole number, so that differences are exact.
  const stoppedAtMs = Math.round(now.call(performance))
  const { waits, restore } = replaceDelays(() => 0)
  // On a clock that stands still, each turn is as far away as all turns before it take.
  performance.now = () => stoppedAtMs
  try {
    await sweep({ state: newSweepState(undefined, Date.now()), save: async () => {}, signal })
  } finally {
    performance.now = now
    restore()
  }
  assert.is(checked, 4)
  const [pages, checks] = [
    [100, 200],
    [20, 40, 60],
  ]
  assert.equal(
    waits.slice(0, 5),
    [...pages, ...checks],
    'erasures, originals and manifests; then the originals',
  )
})

test('the state is kept once per hundred pages and at the end, so a worker that dies loses some seconds of work', async () => {
  const nowMs = Date.now()
  const keys = Array.from({ length: 250 }, newAddress).map(erasureKey).toSorted()
  s3 = createListingS3({ keys, pageSize: 1, dates: new Map(keys.map((key) => [key, nowMs])) }).s3
  const { sweep } = createTestSweeper({ redis, prefix, s3, bucket, queue })
  const saved: SweepState[] = []
  const seen: SweepState[] = []
  await sweep({
    state: newSweepState(undefined, nowMs),
    save: async (state) => {
      saved.push(state)
    },
    onProgress: (state) => {
      seen.push(state)
    },
    signal,
  })
  assert.equal(
    saved.map(({ stage, cursor, completedAt }) => [stage, cursor, completedAt !== undefined]),
    [
      ['erasures', keys[99], false],
      ['erasures', keys[199], false],
      ['variants', '', true],
    ],
  )
  assert.equal(
    seen.slice(0, 249).map(({ cursor }) => cursor),
    keys.slice(0, 249),
    'each page is reported',
  )
})

test('a run that is stopped keeps its state, and one that fails writes none: it may be the state of another worker', async () => {
  const keys = Array.from({ length: 3 }, newAddress).map(erasureKey).toSorted()
  s3 = createListingS3({ keys, pageSize: 1, dates: new Map(keys.map((key) => [key, Date.now()])) }).s3
  const { sweep } = createTestSweeper({ redis, prefix, s3, bucket, queue })
  const savedOf = async (end: (stopping: AbortController) => void) => {
    const stopping = new AbortController()
    const saved: (string | undefined)[] = []
    let pages = 0
    const run = sweep({
      state: newSweepState(undefined, Date.now()),
      save: async ({ cursor }) => {
        saved.push(cursor)
      },
      async keepLease() {
        pages += 1
        if (pages === 2) end(stopping)
      },
      signal: stopping.signal,
    })
    assert.match(String(await run.catch((error: unknown) => error)), 'no more')
    return saved
  }
  const stopped = await savedOf((stopping) => stopping.abort(new Error('no more')))
  assert.equal(stopped, [keys[1]])
  const failed = await savedOf(() => {
    throw new Error('no more')
  })
  assert.equal(failed, [])
})

test('variants are listed again a week after the start of the run that listed them', async () => {
  const startedAtMs = Date.UTC(2026, 10, 28)
  const listedAfter = async (ms: number) => {
    const { s3: client, pages } = createListingS3({})
    const variantsListedAt = new Date(startedAtMs - ms).toISOString()
    const { sweep } = createTestSweeper({ redis, prefix, s3: client, bucket, queue })
    const save = async () => {}
    const { state } = await sweep({
      state: { ...newSweepState(undefined, startedAtMs), variantsListedAt },
      save,
      signal,
    })
    client.destroy()
    return { pages: pages(), isMoved: state.variantsListedAt !== variantsListedAt }
  }
  const weekMs = 7 * 24 * 60 * 60_000
  const [before, after] = [await listedAfter(weekMs - 1), await listedAfter(weekMs)]
  assert.equal([before.isMoved, after.isMoved], [false, true])
  assert.is(after.pages - before.pages, 1)
})

test.run()
