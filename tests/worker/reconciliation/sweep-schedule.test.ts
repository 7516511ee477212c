import type { S3Client } from '@aws-sdk/client-s3'
import { outboxPrefix, sweepStateKey, withdrawnPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createFindings } from '@millrace/worker/reconciliation/findings.ts'
import type { Sweep } from '@millrace/worker/reconciliation/sweep.ts'
import { createSweepSchedule } from '@millrace/worker/reconciliation/sweep-schedule.ts'
import { createSweepStateStore, newSweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import { pino } from 'pino'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { watchForCommand } from '../../support/watch-for-command.ts'
import { createTestSweeper } from '../support/sweep-now.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('sweep schedule')
const log = createLog({ level: 'silent', instance: 'test' })
const hourMs = 60 * 60_000
let fleet: WorkerFleet

test.before.each(async () => {
  fleet = await startWorkerFleet()
})
test.after.each(() => fleet.close())

/** Returns a schedule as one worker has it. */
function schedule(sweep: Sweep, intervalMs = 24 * hourMs) {
  const stateStore = createSweepStateStore({ ...fleet, log })
  return createSweepSchedule({ ...fleet, intervalMs, stateStore, sweep, log })
}

/** A sweep that does some work and completes. */
function sweepThat(work: (run: Parameters<Sweep>[0]) => Promise<void>): Sweep {
  const { sweep } = createTestSweeper(fleet)
  return async (run) => {
    await work(run)
    return sweep(run)
  }
}

/** Resolves each time that a process has read the sweep's state. */
function watchReads(s3: S3Client) {
  let reads = 0
  const waiting = new Map<number, () => void>()
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      const response = await next(args).catch((error: unknown) => {
        if (context['commandName'] === 'GetObjectCommand') waiting.get(++reads)?.()
        throw error
      })
      if (context['commandName'] === 'GetObjectCommand') waiting.get(++reads)?.()
      return response
    },
    { step: 'initialize' },
  )
  return (count: number) =>
    new Promise<void>((resolve) => (reads >= count ? resolve() : waiting.set(count, resolve)))
}

test('a sweep runs on one worker at a time, and again only after the interval', async () => {
  const { redis, prefix } = fleet
  const release = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const runs: string[] = []
  const first = schedule(
    sweepThat(async () => {
      runs.push('first')
      started.resolve()
      await release.promise
    }),
  )
  first.start()
  await started.promise
  const leaseRequest = await watchForCommand(
    process.env['REDIS_URL'] ?? '',
    ([name, , , key]) => name === 'evalsha' && key === `${prefix}:sweep`,
  )
  const second = schedule(
    sweepThat(async () => {
      runs.push('second')
    }),
  )
  second.start()
  await leaseRequest.seen
  await second.stop()
  release.resolve()
  await first.stop()
  assert.equal(runs, ['first'])
  assert.is(await redis.get(`${prefix}:sweep`), null, 'the lease is released')

  const threeRuns = Promise.withResolvers<void>()
  const third = schedule(
    sweepThat(async () => {
      runs.push('third')
      if (runs.length >= 4) threeRuns.resolve()
    }),
    10,
  )
  third.start()
  await threeRuns.promise
  await third.stop()
  assert.equal(runs.slice(0, 4), ['first', 'third', 'third', 'third'])
})

test('workers that start read one object each and list nothing if no sweep is due', async () => {
  const { stateStore } = createTestSweeper(fleet)
  const now = new Date().toISOString()
  await stateStore.write({ ...newSweepState(undefined, Date.now()), completedAt: now })
  const requests: string[] = []
  fleet.s3.middlewareStack.add(
    (next, context) => (args) => {
      const name = 'Key' in args.input ? args.input.Key : 'Prefix' in args.input ? args.input.Prefix : ''
      // Events that wait for delivery, and withdrawn variants, are looked for more often.
      if (name !== outboxPrefix && name !== withdrawnPrefix)
        requests.push(`${context['commandName']} ${name}`)
      return next(args)
    },
    { step: 'initialize' },
  )
  const readTimes = watchReads(fleet.s3)
  const workers = [await fleet.startWorker(), await fleet.startWorker()]
  await readTimes(2)
  for (const worker of workers) await worker.close()
  // A run would write its state before it lists, also if it is stopped meanwhile.
  const read = `GetObjectCommand ${sweepStateKey()}`
  assert.equal(requests, [read, read])
})

test('a worker continues the sweep of a worker that died', async () => {
  const { stateStore } = createTestSweeper(fleet)
  const startedAtMs = Date.now() - hourMs
  const cursor = 's-tester/01'
  await stateStore.write({ ...newSweepState(undefined, startedAtMs), stage: 'objects', cursor })
  const continued = Promise.withResolvers<unknown>()
  const worker = schedule(
    sweepThat(async ({ state }) => {
      continued.resolve([state.startedAt, state.stage, state.cursor])
    }),
  )
  worker.start()
  assert.equal(await continued.promise, [new Date(startedAtMs).toISOString(), 'objects', cursor])
  await worker.stop()
})

test('a completed sweep logs what it found, and how long it took since it began on another worker', async () => {
  const logged = Promise.withResolvers<Record<string, unknown>>()
  const state = newSweepState(undefined, Date.now() - hourMs)
  const findings = createFindings({ before: { originals: 7 } })
  const worker = createSweepSchedule({
    ...fleet,
    intervalMs: 24 * hourMs,
    stateStore: { read: async () => state, write: async () => {} },
    sweep: async () => ({ state, findings }),
    log: pino(
      {},
      {
        write(line) {
          const entry: Record<string, unknown> = JSON.parse(line)
          if (entry['event'] === 'swept') logged.resolve(entry)
        },
      },
    ),
  })
  worker.start()
  const { originals, ms } = await logged.promise
  await worker.stop()
  assert.is(originals, 7)
  assert.ok(Number(ms) >= hourMs && Number(ms) < 2 * hourMs, String(ms))
})

test('a sweep that lost its lease ends and does not release the lease of the next holder', async () => {
  const { redis, prefix } = fleet
  const ended = Promise.withResolvers<unknown>()
  const worker = schedule(async (run) => {
    // As if this process was suspended for longer than the lease.
    await redis.set(`${prefix}:sweep`, 'another worker')
    const result = createTestSweeper(fleet).sweep(run)
    result.then(() => ended.resolve('still running'), ended.resolve)
    return result
  })
  worker.start()
  assert.match(String(await ended.promise), /Another runner has taken the lease/)
  await worker.stop()
  assert.is(await redis.get(`${prefix}:sweep`), 'another worker')
})

test('a sweep continues after Redis lost its lease', async () => {
  const { redis, prefix } = fleet
  const completed = Promise.withResolvers<void>()
  const worker = schedule(async (run) => {
    await redis.del(`${prefix}:sweep`)
    const result = await createTestSweeper(fleet).sweep(run)
    completed.resolve()
    return result
  })
  worker.start()
  await completed.promise
  await worker.stop()
  assert.ok((await createTestSweeper(fleet).stateStore.read())?.completedAt)
})

test('a worker that cannot read the state of a newer version begins a new sweep', async () => {
  const { stateStore } = createTestSweeper(fleet)
  const unknown = { ...newSweepState(undefined, Date.now()), version: 2 }
  await stateStore.write(JSON.parse(JSON.stringify(unknown)))
  const started = Promise.withResolvers<string>()
  const worker = schedule(
    sweepThat(async ({ state }) => {
      started.resolve(state.cursor)
    }),
  )
  worker.start()
  assert.is(await started.promise, '')
  await worker.stop()
})

test.run()
