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
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { countDirectionChanges } from '@millrace/simulator/report/direction-changes.ts'
import { percentile } from '@millrace/simulator/report/summary.ts'
import { createFixedScaler } from '@millrace/simulator/scalers/fixed-scaler.ts'
import { createPolicyScaler } from '@millrace/simulator/scalers/policy-scaler.ts'
import type { Scaler } from '@millrace/simulator/scalers/scaler.ts'
import { defaultPrices } from '@millrace/simulator/simulation/prices.ts'
import { simulate } from '@millrace/simulator/simulation/simulate.ts'
import type { Trace } from '@millrace/simulator/traces/trace.ts'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { type JobRun, nextRun } from '../../fixtures/services/delay-job.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('simulator agreement', {}, { limitMs: 90_000 })
const delayWorker = join(import.meta.dirname, '../../fixtures/services/delay-worker.ts')

/** At this speed, a period of 10 s takes 400 ms, and a boot of 0.5 s corresponds to one of 12.5 s. */
const speed = 25
const periodMs = workerScaling.metricPeriodMs / speed
/** The autoscaler evaluates once a period: on average half a period after its end, in seconds of the simulator. */
const delayS = 5
const slotsPerWorker = 8
const limits = { min: 1, max: 4 }
const jobMs = 200
/** A burst: jobs a second, and duration in ms. A worker finishes 40 a second, so Demand is 0.3 and then 2.75. */
const phases = [
  { perSecond: 12, phaseMs: 800 },
  { perSecond: 110, phaseMs: 3_000 },
]

/** Returns when each job is to arrive, in ms since the start. */
function plannedArrivals(): number[] {
  let fromMs = 0
  return phases.flatMap(({ perSecond, phaseMs }) => {
    const startMs = fromMs
    fromMs += phaseMs
    return Array.from(
      { length: (perSecond * phaseMs) / 1000 },
      (_, job) => startMs + (job * 1000) / perSecond,
    )
  })
}

/**
 * Computes the values that are compared.
 * @param sizes fleet sizes, in order
 * @param waitsMs waits of the jobs, in ms of the real clock
 */
function summarizeRun(sizes: number[], waitsMs: readonly number[]) {
  return {
    jobs: waitsMs.length,
    peak: Math.max(...sizes),
    last: sizes.at(-1),
    directionChanges: countDirectionChanges(sizes),
    meanWaitMs: waitsMs.reduce((sum, wait) => sum + wait, 0) / waitsMs.length,
    p95WaitMs: percentile(Float64Array.from(waitsMs).sort(), 0.95),
  }
}

type RunSummary = ReturnType<typeof summarizeRun>

/** The largest accepted differences between a run and its simulation; documented in docs/scaling.md. */
const bounds = { workers: 1, waitFactor: 1.5, waitMs: periodMs }

/** Returns the values that differ by more than the bounds. */
function differences(first: RunSummary, second: RunSummary): string[] {
  const { workers, waitFactor, waitMs } = bounds
  const near = (key: 'meanWaitMs' | 'p95WaitMs') =>
    first[key] <= waitFactor * second[key] + waitMs && second[key] <= waitFactor * first[key] + waitMs
  const agrees = {
    jobs: first.jobs === second.jobs,
    peak: Math.abs(first.peak - second.peak) <= workers,
    last: first.last === second.last,
    directionChanges: first.directionChanges === second.directionChanges,
    meanWaitMs: near('meanWaitMs'),
    p95WaitMs: near('p95WaitMs'),
  }
  return Object.entries(agrees).flatMap(([key, isEqual]) => (isEqual ? [] : [key]))
}

/** Runs the trace with real processes. @returns the measurements, and the inputs of the simulation */
async function runProcesses(directory: string) {
  const redisUrl = process.env['REDIS_URL'] ?? ''
  const prefix = `test-${randomUUID()}`
  const identity = { region: 'eu-central-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
  const sqs = await startSqsServer(identity)
  const redis = connectRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  // It waits without a limit. A connection for commands would be opened again after 10 s.
  const blockingRedis = new Redis(redisUrl)
  const queue = new Queue(uploadQueueName, { connection: redis, prefix })
  const journal = createFleetJournal({ redis, prefix })
  const bootsMs: number[] = []
  const output = new EventEmitter()
  const print = (line: string) => output.emit('line', line)
  const fleet = createServiceFleet({
    kind: 'worker',
    size: limits.min,
    warmupMs: workerScaling.warmupMs / speed,
    start(name, events) {
      const launchedAt = performance.now()
      return startServiceProcess({
        name,
        entry: delayWorker,
        logDirectory: directory,
        print,
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
        onExit: events.onExit,
      })
    },
  })
  const noApi = createServiceFleet({
    kind: 'api',
    size: 0,
    warmupMs: 0,
    start() {
      throw new Error('This test does not start an API.')
    },
  })
  const autoscaling = startAutoscaling({
    redisUrl,
    prefix,
    speed,
    workers: { fleet, limits },
    api: { fleet: noApi, limits: { min: 0, max: 0 } },
    print,
  })
  try {
    await fleet.ready
    await until(async () => (await journal.points()).length > 0)
    // A period ends when the publisher samples the queue. As in the simulation, the trace begins with a period.
    const sample = await journal.sample()
    const startMs = Date.parse(sample?.at ?? '') + 2 * periodMs
    const arrivedMs: number[] = []
    const adding: Promise<unknown>[] = []
    for (const [job, atMs] of plannedArrivals().entries()) {
      const waitMs = startMs + atMs - Date.now()
      if (waitMs > 0) await delay(waitMs)
      arrivedMs.push(Date.now() - startMs)
      const options = { removeOnComplete: true, attempts: 1 }
      adding.push(queue.add('process-upload', { job, durationMs: jobMs }, options))
    }
    await Promise.all(adding)
    const runs: JobRun[] = []
    while (runs.length < arrivedMs.length) runs.push(await nextRun({ redis: blockingRedis, prefix }))
    while (fleet.size().desired > limits.min) await once(output, 'line')
    // The last decision is stored after it is printed.
    await autoscaling.close()
    const decisions = (await journal.decisions()).reverse()
    return { startMs, arrivedMs, runs, decisions, bootsMs }
  } finally {
    await autoscaling.close()
    await fleet.close()
    await queue.close()
    blockingRedis.disconnect()
    redis.disconnect()
    await sqs.close()
  }
}

/** Converts ms of the test to seconds of the simulator. */
function simulatedS(ms: number): number {
  return (ms * speed) / 1000
}

/** @param bootS time from the decision to start a worker until it takes jobs, in seconds of the simulator */
function summarizeSimulation(trace: Trace, scaler: Scaler, bootS: number) {
  const { changes, waitS } = simulate(trace, scaler, {
    seed: 1,
    bootS,
    slotsPerWorker,
    limits,
    onDemandBase: limits.max,
    spot: { interruptionsPerHour: 0 },
    prices: defaultPrices,
  })
  const sizes = [limits.min, ...changes.map(({ desired }) => desired)]
  return summarizeRun(
    sizes,
    Array.from(waitS, (s) => (s * 1000) / speed),
  )
}

test('a run with real processes agrees with its simulation', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'simulated-'))
  const { startMs, arrivedMs, runs, decisions, bootsMs } = await runProcesses(directory)
  await rm(directory, { recursive: true })
  const byJob = runs.toSorted((first, second) => first.job - second.job)
  assert.equal(
    byJob.map(({ job }) => job),
    arrivedMs.map((_, job) => job),
    'each job ran once',
  )
  const waitsMs = byJob.map(({ startedAtMs }, job) => startedAtMs - startMs - (arrivedMs[job] ?? 0))
  const measured = summarizeRun([limits.min, ...decisions.map(({ to }) => to)], waitsMs)

  // The same run on the simulator's clock, where a period is 10 s.
  const trace: Trace = {
    name: 'recorded',
    arrivedS: Float64Array.from(arrivedMs, simulatedS),
    durationS: Float64Array.from(byJob, ({ startedAtMs, endedAtMs }) => simulatedS(endedAtMs - startedAtMs)),
    endS: simulatedS(Math.max(...decisions.map(({ at }) => Date.parse(at))) - startMs) + 60,
  }
  const [, ...laterBootsMs] = bootsMs
  const bootS = simulatedS(laterBootsMs.reduce((sum, ms) => sum + ms, 0) / laterBootsMs.length)
  const simulated = summarizeSimulation(trace, createPolicyScaler('Millrace', workerScaling, delayS), bootS)
  assert.equal(differences(measured, simulated), [], JSON.stringify({ measured, simulated, bootsMs }))

  // A fleet that does not grow is outside of the bounds. How long its jobs wait depends on how slowly real workers
  // boot here, so the next test checks the bounds of the waits with nominal boots.
  const fixed = summarizeSimulation(trace, createFixedScaler(limits.min), bootS)
  assert.equal(differences(measured, fixed).slice(0, 2), ['peak', 'directionChanges'])
})

test('the bounds exclude a fleet that does not grow', () => {
  const arrivedMs = plannedArrivals()
  const trace: Trace = {
    name: 'planned',
    arrivedS: Float64Array.from(arrivedMs, simulatedS),
    durationS: Float64Array.from(arrivedMs, () => simulatedS(jobMs)),
    endS: simulatedS(arrivedMs.at(-1) ?? 0) + 600,
  }
  const nominalBootMs = 500
  const [policy, fixed] = [
    createPolicyScaler('Millrace', workerScaling, delayS),
    createFixedScaler(limits.min),
  ].map((scaler) => summarizeSimulation(trace, scaler, simulatedS(nominalBootMs)))
  if (!policy || !fixed) throw new Error('Both scalers were simulated.')
  assert.equal(differences(policy, fixed), ['peak', 'directionChanges', 'meanWaitMs', 'p95WaitMs'])
})

test.run()
