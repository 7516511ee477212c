import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createJobHandlers, createProcessor } from '@millrace/worker/jobs/job-handlers.ts'
import { createOldestJob } from '@millrace/worker/jobs/oldest-job.ts'
import { createOwnerSlots } from '@millrace/worker/jobs/owner-slots.ts'
import { DelayedError, Job, Queue, UnrecoverableError } from 'bullmq'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('ends of attempts')
const log = createLog({ level: 'silent', instance: 'test' })
const codes = Object.keys(errorCatalogue).filter((code): code is ErrorCode => code in errorCatalogue)
let redis: Redis
let queue: Queue<unknown, void>

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', log)
  queue = new Queue('ends', { connection: redis, prefix: `test-${randomUUID()}` })
})
test.after(async () => {
  await queue.close()
  redis.disconnect()
})

/** The errors through no fault of the file: the job is handed back, and no attempt is counted. */
const handedBackCodes: ErrorCode[] = [
  'dependency_unavailable',
  'storage_full',
  'conflict',
  'scan_unavailable',
  'unreadable_record',
]

type End = {
  /** What BullMQ is told. */
  thrown: unknown
  /** The delays with which the job was moved, in ms: at least, and at most. */
  delays: [least: number, most: number][]
  /** Errors with which the upload was finished as failed. */
  failedWith: unknown[]
  /** For the metrics. */
  outcome: string
  /** What counts for the fleet's load. */
  active: string[]
  oldestMs: number
}

/** Runs one attempt of a job, as a queue worker does. */
async function attempt(
  work: () => Promise<void>,
  options: {
    made?: number
    started?: number
    payload?: unknown
    onFailed?: () => Promise<void>
    signal?: AbortSignal
  } = {},
): Promise<End> {
  const { made = 0, started = made + 1, signal = new AbortController().signal } = options
  const end: End = { thrown: undefined, delays: [], failedWith: [], outcome: '', active: [], oldestMs: 0 }
  const oldestJob = createOldestJob()
  const processor = createProcessor({
    handlers: createJobHandlers({
      processUpload: work,
      async failUpload(_, error) {
        end.failedWith.push(error)
        await options.onFailed?.()
      },
      importUpload: work,
      async finishImport() {},
      async runDistribution() {},
      async runDelivery() {},
      async giveUpDelivery() {},
    }),
    activeJobs: { begin: () => (how) => void end.active.push(how) },
    oldestJob,
    observeAttempt: ({ outcome }) => {
      end.outcome = outcome
    },
    log,
  })
  const { payload = { version: 1, owner: 's-tester', id: newUploadId(), etag: 'e' } } = options
  const job = new Job<unknown, void>(queue, 'process-upload', payload, { attempts: 5 }, 'x')
  job.attemptsMade = made
  job.attemptsStarted = started
  const startedAtMs = Date.now()
  job.moveToDelayed = async (timestamp) => {
    end.delays.push([timestamp - Date.now(), timestamp - startedAtMs])
  }
  await processor(job, 'token', signal).catch((error: unknown) => {
    end.thrown = error
  })
  end.oldestMs = oldestJob.ageMs()
  return end
}

const throwing = (error: unknown) => async () => {
  throw error
}

/** Names what became of an attempt. */
function kindOf({ thrown, delays, failedWith }: End, error: unknown): string {
  if (thrown instanceof DelayedError && delays.length === 1 && failedWith.length === 0) return 'handed back'
  if (thrown instanceof UnrecoverableError && failedWith[0] === error && delays.length === 0) return 'failed'
  if (thrown === error && failedWith.length === 0 && delays.length === 0) return 'retried'
  return `unknown: ${String(thrown)}, ${delays.length} moves, ${failedWith.length} failures`
}

test('each error of the catalogue is retried, final or handed back, as its code says', async () => {
  const expected: string[] = []
  const found: string[] = []
  for (const code of codes) {
    const error = new AppError(code)
    found.push(`${code} ${kindOf(await attempt(throwing(error)), error)}`)
    const kind = errorCatalogue[code].retryable ? 'retried' : 'failed'
    expected.push(`${code} ${handedBackCodes.includes(code) ? 'handed back' : kind}`)
  }
  assert.equal(found, expected)
})

test('after the last attempt an upload fails, unless the error is no fault of its file', async () => {
  const found: string[] = []
  for (const code of codes) {
    const error = new AppError(code)
    const [last, before] = [
      await attempt(throwing(error), { made: 4 }),
      await attempt(throwing(error), { made: 3 }),
    ]
    if (kindOf(last, error) !== 'failed') found.push(code)
    if (kindOf(before, error) === 'failed') assert.not.ok(errorCatalogue[code].retryable, code)
  }
  assert.equal(found.toSorted(), handedBackCodes.toSorted())
})

test('errors without a code are retried, and those of the network are handed back', async () => {
  const ours = new TypeError('x is not a function')
  const network = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const full = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' })
  const kinds = []
  for (const error of [ours, network, full]) kinds.push(kindOf(await attempt(throwing(error)), error))
  assert.equal(kinds, ['retried', 'handed back', 'handed back'])
})

test('a payload that does not match its schema ends its job at once, and one of a newer version is handed back', async () => {
  const run = async () => {}
  const invalid = await attempt(run, { payload: { version: 1, owner: '../..' } })
  assert.instance(invalid.thrown, UnrecoverableError)
  assert.equal([invalid.outcome, invalid.active, invalid.delays], ['failed', ['finished'], []])
  const newer = await attempt(run, { payload: { version: 2 } })
  assert.instance(newer.thrown, DelayedError)
  assert.equal([newer.delays.length, newer.failedWith], [1, []])
})

test('the first hand-back waits half a second to a second, and later ones up to half a minute', async () => {
  const delayOf = async (started: number) => {
    const { delays } = await attempt(throwing(new AppError('dependency_unavailable')), { started })
    return delays[0] ?? [0, 0]
  }
  const [expectedMs, started] = [
    [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
    [1, 2, 3, 4, 5, 6, 5_000],
  ]
  for (const [i, ms] of expectedMs.entries()) {
    const [least, most] = await delayOf(started[i] ?? 0)
    assert.ok(least <= ms && most >= ms / 2, `${least} to ${most}, not ${ms / 2} to ${ms}`)
  }
})

test('an upload that cannot be finished as failed in an outage stays unfinished with its job', async () => {
  const { thrown, delays, outcome, active } = await attempt(throwing(new AppError('image_corrupt')), {
    onFailed: throwing(new AppError('dependency_unavailable')),
  })
  assert.instance(thrown, DelayedError)
  assert.equal([delays.length, outcome, active], [1, 'handed-back', ['unfinished']])
})

test('a fault of our own while an upload is finished as failed ends its job with that fault', async () => {
  const fault = new TypeError('x is not a function')
  const { thrown, delays } = await attempt(throwing(new AppError('image_corrupt')), {
    onFailed: throwing(fault),
  })
  assert.equal([thrown, delays], [fault, []])
})

test('an attempt that is aborted is handed back at once, and does not count', async () => {
  const controller = new AbortController()
  const end = await attempt(
    async () => {
      controller.abort(new Error('draining'))
      await new Promise(() => {})
    },
    { signal: controller.signal, made: 4 },
  )
  assert.instance(end.thrown, DelayedError)
  const [[least = 1, most = -1] = []] = end.delays
  assert.ok(least <= 0 && most >= 0)
  assert.equal([end.failedWith, end.outcome, end.active], [[], 'handed-back', ['unfinished']])
})

test('an attempt counts as finished for the fleet only if none follows', async () => {
  const ends = [
    await attempt(async () => {}),
    await attempt(throwing(new AppError('image_corrupt'))),
    await attempt(throwing(new AppError('processing_failed'))),
    await attempt(throwing(new AppError('conflict'))),
    await attempt(throwing(new DelayedError())),
  ]
  assert.equal(
    ends.map(({ outcome, active, oldestMs }) => [outcome, active, oldestMs]),
    [
      ['done', ['finished'], 0],
      ['failed', ['finished'], 0],
      ['retried', ['unfinished'], 0],
      ['handed-back', ['unfinished'], 0],
      ['moved', ['unfinished'], 0],
    ],
  )
})

test('an owner has its share of the slots and no more, and a slot is free again after each attempt', async () => {
  const slots = createOwnerSlots(2)
  const [one, two] = [slots.take('a'), slots.take('a')]
  assert.type(one, 'function')
  assert.type(two, 'function')
  assert.is(slots.take('a'), undefined)
  assert.type(slots.take('b'), 'function')
  one?.()
  assert.type(slots.take('a'), 'function')
  assert.is(slots.take('a'), undefined)
})

test('a job whose owner uses its share is moved back uncounted, and runs once a slot is free', async () => {
  const began: string[] = []
  const held = Promise.withResolvers<void>()
  const processor = createProcessor({
    handlers: createJobHandlers({
      async processUpload({ id }) {
        began.push(id)
        if (began.length === 1) await held.promise
      },
      async failUpload() {},
      async importUpload() {},
      async finishImport() {},
      async runDistribution() {},
      async runDelivery() {},
      async giveUpDelivery() {},
    }),
    activeJobs: { begin: () => () => undefined },
    oldestJob: createOldestJob(),
    ownerSlots: createOwnerSlots(1),
    log,
  })
  const run = async () => {
    const id = newUploadId()
    const job = new Job<unknown, void>(queue, 'process-upload', { version: 1, owner: 'o', id, etag: 'e' })
    let moves = 0
    job.moveToDelayed = async () => {
      moves += 1
    }
    const thrown = await processor(job, 'token', new AbortController().signal).catch(
      (error: unknown) => error,
    )
    return { id, moves, isMoved: thrown instanceof DelayedError }
  }
  const first = run()
  const second = await run()
  assert.equal([second.moves, second.isMoved, began.includes(second.id)], [1, true, false])
  held.resolve()
  assert.is((await first).isMoved, false)
  const third = await run()
  assert.equal([third.moves, third.isMoved, began.includes(third.id)], [0, false, true])
})

test.run()
