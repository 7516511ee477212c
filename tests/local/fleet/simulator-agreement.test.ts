import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startSqsServer } from '@millrace/local/cloud/sqs-server.ts'
import { startAutoscaling } from '@millrace/local/fleet/autoscaling.ts'
import { createServiceFleet } from '@millrace/local/fleet/service-fleet.ts'
import { startServiceProcess } from '@millrace/local/fleet/service-process.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { connectRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { directionChanges } from '@millrace/simulator/report/direction-changes.ts'
import { percentile } from '@millrace/simulator/report/summary.ts'
import { createFixedScaler } from '@millrace/simulator/scalers/fixed-scaler.ts'
import { createPolicyScaler } from '@millrace/simulator/scalers/policy-scaler.ts'
import type { Scaler } from '@millrace/simulator/scalers/scaler.ts'
import { defaultPrices } from '@millrace/simulator/simulation/prices.ts'
import { simulate } from '@millrace/simulator/simulation/simulate.ts'
import type { Trace } from '@millrace/simulator/traces/trace.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type JobRun, nextRun } from '../../fixtures/services/delay-job.ts'
import { suite } from '../../support/suite.ts'

const test = suite('simulated', {}, { limitMs: 90_000 })
const waitingWorker = join(import.meta.dirname, '../../fixtures/services/delay-worker.ts')

/** A period of 10 s is 400 ms, and a boot of half a second one of 12. */
const speed = 25
const periodMs = workerScaling.metricPeriodMs / speed
/** The autoscaler looks once a period: half a period later than its end on average, in seconds of the simulator. */
const delayS = 5
const slotsPerWorker = 8
const limits = { min: 1, max: 4 }
const jobMs = 200
/** A burst: jobs a second, and for how many ms. A worker does 40 a second, so Demand is 0.3 and then 2.75. */
const phases = [
  { perSecond: 12, forMs: 800 },
  { perSecond: 110, forMs: 3_000 },
]

/** When each job is to arrive, in ms since the start. */
function plannedArrivals(): number[] {
  let fromMs = 0
  return phases.flatMap(({ perSecond, forMs }) => {
    const startMs = fromMs
    fromMs += forMs
    return Array.from({ length: (perSecond * forMs) / 1000 }, (_, job) => startMs + (job * 1000) / perSecond)
  })
}

/**
 * What is compared.
 * @param sizes of the fleet, in order
 * @param waitsMs of the jobs, in ms of the real clock
 */
function observe(sizes: number[], waitsMs: readonly number[]) {
  return {
    jobs: waitsMs.length,
    peak: Math.max(...sizes),
    last: sizes.at(-1),
    turns: directionChanges(sizes),
    meanWaitMs: waitsMs.reduce((sum, wait) => sum + wait, 0) / waitsMs.length,
    p95WaitMs: percentile(Float64Array.from(waitsMs).sort(), 0.95),
  }
}

type Observed = ReturnType<typeof observe>

/** How far apart a run and its simulation may be; docs/scaling.md names these bounds. */
const bounds = { workers: 1, waitFactor: 1.5, waitMs: periodMs }

/** In what they differ by more than the bounds. */
function disagreements(one: Observed, other: Observed): string[] {
  const { workers, waitFactor, waitMs } = bounds
  const near = (key: 'meanWaitMs' | 'p95WaitMs') =>
    one[key] <= waitFactor * other[key] + waitMs && other[key] <= waitFactor * one[key] + waitMs
  const agrees = {
    jobs: one.jobs === other.jobs,
    peak: Math.abs(one.peak - other.peak) <= workers,
    last: one.last === other.last,
    turns: one.turns === other.turns,
    meanWaitMs: near('meanWaitMs'),
    p95WaitMs: near('p95WaitMs'),
  }
  return Object.entries(agrees).flatMap(([key, fits]) => (fits ? [] : [key]))
}

/** Lets real processes work the trace off. @returns what happened, and what the simulation needs to know */
async function runForReal(directory: string) {
  const redisUrl = process.env['REDIS_URL'] ?? ''
  const prefix = `test-${randomUUID()}`
  const identity = { region: 'eu-central-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
  const sqs = await startSqsServer(identity)
  const redis = connectRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  const waitingRedis = redis.duplicate()
  const queue = new Queue(uploadQueueName, { connection: redis, prefix })
  const journal = createFleetJournal({ redis, prefix })
  const bootsMs: number[] = []
  const news = new EventEmitter()
  const say = (line: string) => news.emit('said', line)
  const fleet = createServiceFleet({
    kind: 'worker',
    size: limits.min,
    warmupMs: workerScaling.warmupMs / speed,
    start(name, events) {
      const launchedAt = performance.now()
      return startServiceProcess({
        name,
        entry: waitingWorker,
        readyEvent: 'started',
        logDirectory: directory,
        say,
        environment: {
          ...process.env,
          INSTANCE: name,
          REDIS_PREFIX: prefix,
          WORKER_SLOTS: String(slotsPerWorker),
          PUBLISH_PERIOD_MS: String(periodMs),
          AWS_ENDPOINT_URL_SQS: sqs.endpoint,
          EVENTS_QUEUE_URL: sqs.eventsQueueUrl,
          AWS_REGION: identity.region,
          AWS_ACCESS_KEY_ID: identity.credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: identity.credentials.secretAccessKey,
        },
        onReady() {
          bootsMs.push(performance.now() - launchedAt)
          events.onReady()
        },
        onGone: events.onGone,
      })
    },
  })
  const noApi = createServiceFleet({
    kind: 'api',
    size: 0,
    warmupMs: 0,
    start() {
      throw new Error('Nobody asked for an API.')
    },
  })
  const autoscaling = startAutoscaling({
    redisUrl,
    prefix,
    speed,
    workers: { fleet, limits },
    api: { fleet: noApi, limits: { min: 0, max: 0 } },
    say,
  })
  try {
    await fleet.ready
    while ((await journal.points()).length === 0) await redis.ping()
    // Periods end when the publisher looks; as in the simulation, the trace begins with one.
    const sample = await journal.sample()
    const startMs = Date.parse(sample?.at ?? '') + 2 * periodMs
    const arrivedMs: number[] = []
    const adding: Promise<unknown>[] = []
    for (const [job, atMs] of plannedArrivals().entries()) {
      const earlyMs = startMs + atMs - Date.now()
      if (earlyMs > 0) await delay(earlyMs)
      arrivedMs.push(Date.now() - startMs)
      const options = { removeOnComplete: true, attempts: 1 }
      adding.push(queue.add('process-upload', { job, durationMs: jobMs }, options))
    }
    await Promise.all(adding)
    const runs: JobRun[] = []
    while (runs.length < arrivedMs.length) runs.push(await nextRun({ redis: waitingRedis, prefix }))
    while (fleet.size().desired > limits.min) await once(news, 'said')
    // Its last decision is written only after it was told.
    await autoscaling.close()
    const decisions = (await journal.decisions()).reverse()
    return { startMs, arrivedMs, runs, decisions, bootsMs }
  } finally {
    await autoscaling.close()
    await fleet.close()
    await queue.close()
    waitingRedis.disconnect()
    redis.disconnect()
    await sqs.close()
  }
}

test('happens for real about as it is simulated', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'simulated-'))
  const { startMs, arrivedMs, runs, decisions, bootsMs } = await runForReal(directory)
  await rm(directory, { recursive: true })
  const byJob = runs.toSorted((one, other) => one.job - other.job)
  assert.equal(
    byJob.map(({ job }) => job),
    arrivedMs.map((_, job) => job),
    'each job ran once',
  )
  const waitsMs = byJob.map(({ startedAtMs }, job) => startedAtMs - startMs - (arrivedMs[job] ?? 0))
  const real = observe([limits.min, ...decisions.map(({ to }) => to)], waitsMs)

  // The same on the simulator's clock, on which a period is 10 s.
  const simulatedS = (ms: number) => (ms * speed) / 1000
  const trace: Trace = {
    name: 'recorded',
    arrivedS: Float64Array.from(arrivedMs, simulatedS),
    durationS: Float64Array.from(byJob, ({ startedAtMs, endedAtMs }) => simulatedS(endedAtMs - startedAtMs)),
    endS: simulatedS(Math.max(...decisions.map(({ at }) => Date.parse(at))) - startMs) + 60,
  }
  const [, ...laterBootsMs] = bootsMs
  const conditions = {
    seed: 1,
    bootS: simulatedS(laterBootsMs.reduce((sum, ms) => sum + ms, 0) / laterBootsMs.length),
    slotsPerWorker,
    limits,
    onDemandBase: limits.max,
    spot: { interruptionsPerHour: 0 },
    prices: defaultPrices,
  }
  const observeSimulated = (scaler: Scaler) => {
    const { changes, waitS } = simulate(trace, scaler, conditions)
    const sizes = [limits.min, ...changes.map(({ desired }) => desired)]
    return observe(
      sizes,
      Array.from(waitS, (s) => (s * 1000) / speed),
    )
  }
  const simulated = observeSimulated(createPolicyScaler('Millrace', workerScaling, delayS))
  assert.equal(disagreements(real, simulated), [], JSON.stringify({ real, simulated, bootsMs }))

  // That bounds which are wide still tell something: a fleet that does not grow is outside of them.
  const still = observeSimulated(createFixedScaler(limits.min))
  assert.equal(disagreements(real, still), ['peak', 'turns', 'meanWaitMs', 'p95WaitMs'])
})

test.run()
