import { randomUUID } from 'node:crypto'
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { SQSClient } from '@aws-sdk/client-sqs'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { createCloudWatchMetrics, type MetricsPeriod } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import { createFleetJournal, type QueueLoadSample } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats, fleetKey, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { bucketMs, bucketOf } from '@millrace/shared/fleet/latency-histogram.ts'
import { createQueueLoadPublisher, publisherLeaseMs } from '@millrace/shared/fleet/queue-load-publisher.ts'
import { createQueueSampler } from '@millrace/shared/fleet/queue-sampler.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('publisher of the queue load')
const periodMs = 10_000
/** The start of a period. */
const start = Date.UTC(2026, 10, 25, 12)
const realNow = Date.now
let redis: Redis
let prefix: string
const opened: { close(): Promise<void> }[] = []

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after.each(async () => {
  Date.now = realNow
  for (const one of opened.splice(0)) await one.close()
  const names = ['load', 'sample', 'publisher', 'finished', 'processes']
  await redis.del(names.map((name) => fleetKey(prefix, name)))
})
test.after(() => redis.disconnect())

const iso = (ms: number) => new Date(ms).toISOString()
const none = { waiting: 0, prioritized: 0, active: 0, notRelayed: 0, slots: 0, oldestJobAgeMs: 0, load: 0 }
const sampleOf = (changes: Partial<QueueLoadSample>): QueueLoadSample => ({
  at: iso(start),
  ...none,
  ...changes,
})
const leaseOf = (holder: string) =>
  createRedisLease({ redis, key: fleetKey(prefix, 'publisher'), holder, ttlMs: 60_000 })

/** A publisher whose clock stands still until the test gives it its next sample. */
function startPublisher(
  options: {
    holder?: string
    takeoverDelayMs?: number
    putFleetMetrics?: (period: MetricsPeriod) => Promise<void>
  } = {},
) {
  const lines: unknown[] = []
  let asked = Promise.withResolvers<(sample: QueueLoadSample) => void>()
  let resets = 0
  const publisher = createQueueLoadPublisher({
    lease: leaseOf(options.holder ?? 'worker-1'),
    sampleQueue: async () => ({
      queue: await new Promise<QueueLoadSample>((resolve) =>
        asked.resolve((sample) => {
          asked = Promise.withResolvers()
          resolve(sample)
        }),
      ),
      processes: [],
    }),
    finishedJobs: createFinishedJobs({ redis, prefix }),
    journal: createFleetJournal({ redis, prefix }),
    historyRecorder: {
      observe: async () => undefined,
      reset: () => {
        resets += 1
      },
    },
    putFleetMetrics: options.putFleetMetrics,
    samplePeriodMs: 1,
    publishPeriodMs: periodMs,
    takeoverDelayMs: options.takeoverDelayMs ?? 0,
    log: {
      info: (fields: object) => lines.push(fields),
      warn: (fields: object) => lines.push(fields),
    },
  })
  Date.now = () => start
  publisher.start()
  return {
    publisher,
    events: () => lines.map((line) => (line instanceof Object && 'event' in line ? line.event : line)),
    resets: () => resets,
    /** Resolves when the publisher reads the queue. */
    asked: () => asked.promise,
    /** Answers with a sample, after which the clock shows `nextMs`. Resolves when it reads the queue again. */
    async sample(changes: Partial<QueueLoadSample>, nextMs: number) {
      const answer = await asked.promise
      Date.now = () => nextMs
      answer(sampleOf(changes))
      await asked.promise
    },
    /** Ends it while it waits for a sample. */
    async stop() {
      const answer = await asked.promise
      const stopped = publisher.stop()
      answer(sampleOf({}))
      await stopped
    },
  }
}

/** Stops a publisher whose request to CloudWatch is held until `released`. */
async function assertStopWaits(
  one: ReturnType<typeof startPublisher>,
  released: PromiseWithResolvers<void>,
): Promise<void> {
  const order: string[] = []
  const stopped = one.stop().then(() => order.push('stopped'))
  for (let ping = 0; ping < 20; ping++) await redis.ping()
  order.push('written')
  released.resolve()
  await stopped
  assert.equal(order, ['written', 'stopped'])
}

test('a point has averages of its period, its longest wait, and a demand by recent jobs and the newest slots', async () => {
  const puts: MetricsPeriod[] = []
  const finishedJobs = createFinishedJobs({ redis, prefix })
  const journal = createFleetJournal({ redis, prefix })
  // 99 quick jobs of the period before, and a slow one of more than a minute ago.
  const before = { load: 1, queueDepth: 0, oldestJobAgeMs: 0, slots: 1, demand: 0 }
  await journal.addPoint({ ...before, at: iso(start - 60_000), jobsFinished: 1, jobDurationMs: 900_000 })
  await journal.addPoint({ ...before, at: iso(start), jobsFinished: 99, jobDurationMs: 100 })
  const one = startPublisher({ putFleetMetrics: async (period) => void puts.push(period) })
  await one.sample(
    { waiting: 2, prioritized: 1, active: 4, notRelayed: 3, slots: 4, load: 2.5 },
    start + 1_000,
  )
  await one.sample(
    { prioritized: 1, active: 4, notRelayed: 1, slots: 8, load: 0.5, oldestJobAgeMs: 800 },
    start + periodMs,
  )
  assert.is(await redis.llen(fleetKey(prefix, 'load')), 2, 'the period has not ended')
  await finishedJobs.add(2_000)
  await one.sample({ prioritized: 11, active: 4, notRelayed: 15, slots: 10, load: 3 }, start + periodMs)
  const jobMs = bucketMs(bucketOf(2_000))
  const [point] = await journal.points(1)
  // 10 jobs and messages at its start, 30 at its end, and one finished job: 21 arrived.
  const meanMs = (99 * 100 + jobMs) / 100
  const { demand, ...rest } = point ?? { demand: 0 }
  assert.equal(rest, {
    at: iso(start + periodMs),
    load: 1.5,
    queueDepth: 4,
    oldestJobAgeMs: 800,
    jobsFinished: 1,
    jobDurationMs: jobMs,
    slots: 6,
  })
  assert.ok(Math.abs(demand - (21 * meanMs) / periodMs / 10) < 1e-9, `${demand}`)
  assert.equal(
    puts.map(({ samples, ...put }) => [put.startedAtMs, put.demand, put.finished, samples.length]),
    [[start, demand, [[bucketOf(2_000), 1]], 2]],
  )
  const sampleTtlMs = await redis.pttl(fleetKey(prefix, 'sample'))
  assert.ok(sampleTtlMs > 0 && sampleTtlMs <= 10_000)
  await one.stop()
})

test('without finished jobs the last known duration counts, and a second before any job', async () => {
  const journal = createFleetJournal({ redis, prefix })
  const one = startPublisher()
  await one.sample({ slots: 1 }, start + periodMs)
  await one.sample({ notRelayed: 20, slots: 1 }, start + 2 * periodMs)
  assert.is((await journal.points(1))[0]?.demand, 2)
  const ended = { at: iso(start - 600_000), load: 0, queueDepth: 0, oldestJobAgeMs: 0, slots: 1, demand: 0 }
  await journal.addPoint({ ...ended, jobsFinished: 1, jobDurationMs: 4_000 })
  await one.sample({ notRelayed: 30, slots: 1 }, start + 2 * periodMs)
  assert.is((await journal.points(1))[0]?.demand, 4)
  await one.stop()
})

test('a publisher that loses its lease writes no point of the period, and begins a new one later', async () => {
  const one = startPublisher()
  const other = leaseOf('worker-2')
  await one.sample({ slots: 1 }, start)
  const answer = await one.asked()
  await leaseOf('worker-1').release()
  assert.ok(await other.hold())
  answer(sampleOf({ slots: 1 }))
  while (one.resets() === 0) await redis.ping()
  Date.now = () => start + 5 * periodMs
  assert.equal(one.events(), ['publisher', 'publisher-no-more'])
  await one.publisher.stop()
  assert.is(await other.holder(), 'worker-2', 'stopping releases only an own lease')
  assert.is(await redis.llen(fleetKey(prefix, 'load')), 0)

  const two = startPublisher({ holder: 'worker-2' })
  await two.sample({ slots: 1 }, start)
  await two.stop()
  assert.is(await other.holder(), undefined)
})

test('a period that was interrupted by another publisher is not written when the lease comes back', async () => {
  const one = startPublisher()
  const other = leaseOf('worker-2')
  await one.sample({ slots: 1 }, start)
  const answer = await one.asked()
  await leaseOf('worker-1').release()
  assert.ok(await other.hold())
  answer(sampleOf({ notRelayed: 500 }))
  while (one.resets() === 0) await redis.ping()
  Date.now = () => start + 5 * periodMs
  const next = one.asked()
  await other.release()
  await next
  await one.sample({ slots: 1 }, start + 5 * periodMs)
  assert.is(await redis.llen(fleetKey(prefix, 'load')), 0)
  await one.stop()
})

test('a failure of CloudWatch is logged once until it succeeds again, and a stop waits for its request', async () => {
  const released = Promise.withResolvers<void>()
  const outcomes = ['fail', 'fail', 'ok', 'fail', 'slow']
  let puts = 0
  const one = startPublisher({
    async putFleetMetrics() {
      const outcome = outcomes[puts]
      puts += 1
      if (outcome === 'fail') throw new Error('503')
      if (outcome === 'slow') await released.promise
    },
  })
  for (let period = 0; period <= outcomes.length; period++) {
    // The last sample ends no period, so that the stop has to wait for the request before.
    await one.sample({ slots: 1 }, start + Math.min(period + 1, outcomes.length) * periodMs)
  }
  assert.is(puts, outcomes.length)
  assert.equal(one.events(), ['publisher', 'metrics-failed', 'metrics-failed'])
  await assertStopWaits(one, released)
})

test('a stop waits for the request of each period, not only for the newest', async () => {
  const released = Promise.withResolvers<void>()
  let puts = 0
  const one = startPublisher({
    async putFleetMetrics() {
      puts += 1
      if (puts === 1) await released.promise
    },
  })
  for (const period of [1, 2, 2]) await one.sample({ slots: 1 }, start + period * periodMs)
  assert.is(puts, 2)
  await assertStopWaits(one, released)
})

test('the API takes the lease only after it was free for the whole delay', async () => {
  const realMonotonic = performance.now
  let nowMs = 0
  const worker = leaseOf('worker-1')
  assert.ok(await worker.hold())
  let looked = 0
  const lease = leaseOf('api-1')
  const publisher = createQueueLoadPublisher({
    lease: {
      ...lease,
      async holder() {
        const holder = await lease.holder()
        looked += 1
        return holder
      },
    },
    sampleQueue: async () => ({ queue: sampleOf({}), processes: [] }),
    finishedJobs: createFinishedJobs({ redis, prefix }),
    journal: createFleetJournal({ redis, prefix }),
    historyRecorder: { observe: async () => undefined, reset: () => undefined },
    putFleetMetrics: undefined,
    samplePeriodMs: 1,
    publishPeriodMs: periodMs,
    takeoverDelayMs: 10_000,
    log: createLog({ level: 'silent', instance: 'test' }),
  })
  /** Waits until the publisher has looked for the holder twice, so once from its begin to its end. */
  const look = async () => {
    for (const from = looked; looked < from + 3; ) await redis.ping()
  }
  performance.now = () => nowMs
  try {
    publisher.start()
    await look()
    assert.is(await worker.holder(), 'worker-1')
    await worker.release()
    await look()
    nowMs = 9_999
    await look()
    assert.is(await worker.holder(), undefined, 'not yet')
    // A worker that holds it for a moment begins the wait again.
    await worker.hold()
    await look()
    await worker.release()
    await look()
    nowMs = 15_000
    await look()
    assert.is(await worker.holder(), undefined, 'the wait began again')
    nowMs = 19_999
    await until(async () => (await worker.holder()) !== undefined)
    assert.is(await worker.holder(), 'api-1')
  } finally {
    performance.now = realMonotonic
    await publisher.stop()
  }
  assert.is(await worker.holder(), undefined, 'stopping releases the lease')
})

test('the lease lasts longer than some samples, and is free within seconds of a crash', () => {
  assert.is(publisherLeaseMs, 4_000)
})

/** An SQS queue with this number of visible messages. */
function queueOfMessages(count: number): SQSClient {
  const sqs = new SQSClient({ region: 'eu-central-1' })
  sqs.middlewareStack.add(
    () => async () => ({
      response: {},
      output: { $metadata: {}, Attributes: { ApproximateNumberOfMessages: String(count) } },
    }),
    { step: 'initialize' },
  )
  return sqs
}

test('a sample counts messages and jobs by state, and the slots of workers that are not draining', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  const queue = createUploadQueue({ redis, prefix })
  opened.push(queue)
  const deps = { queue, sqs: queueOfMessages(3), queueUrl: 'https://sqs.example/queue', heartbeats }
  const empty = await createQueueSampler(deps)()
  assert.equal(
    [empty.queue.load, empty.queue.oldestJobAgeMs, empty.processes],
    [3_000, 0, []],
    'enough to wake a fleet of none',
  )

  for (const etag of ['one', 'two']) await queue.add({ owner: 's-tester', id: newUploadId(), etag })
  const said = { since: iso(start), version: '0', cpuPercent: 0, rssBytes: 0, busy: 0, perSecond: 0 }
  const tell = (id: string, tier: Heartbeat['tier'], state: Heartbeat['state'], slots: number) =>
    heartbeats.publish({ ...said, latency: [], id, tier, state, slots })
  await tell('a', 'worker', 'serving', 3)
  await tell('b', 'worker', 'serving', 1)
  await tell('c', 'worker', 'draining', 8)
  await tell('d', 'api', 'serving', 16)
  const { oldestAddedAt: addedAt = 0 } = await queue.counts()
  const at = (ms: number) => createQueueSampler({ ...deps, now: () => addedAt + ms })()
  const { queue: sample, processes } = await at(5_000)
  assert.equal(sample, {
    at: iso(addedAt + 5_000),
    waiting: 0,
    prioritized: 2,
    active: 0,
    delayed: 0,
    failed: 0,
    notRelayed: 3,
    slots: 4,
    load: 5 / 4,
    oldestJobAgeMs: 5_000,
  })
  assert.equal(
    processes.map(({ id }) => id),
    ['a', 'b', 'c', 'd'],
  )
  assert.is((await at(-5_000)).queue.oldestJobAgeMs, 0, 'the clock of another process is ahead')
})

test('CloudWatch gets each metric with its unit, the stage, the start of the period and a resolution of a second', async () => {
  const puts: unknown[] = []
  const cloudWatch = new CloudWatchClient({ region: 'eu-central-1' })
  cloudWatch.middlewareStack.add(
    () => async (args) => {
      puts.push(args.input)
      return { response: {}, output: { $metadata: {} } }
    },
    { step: 'initialize' },
  )
  const putFleetMetrics = createCloudWatchMetrics({ cloudWatch, stage: 'production' })
  const samples = [
    sampleOf({
      load: 0.5,
      waiting: 1,
      prioritized: 2,
      active: 9,
      notRelayed: 4,
      slots: 2,
      oldestJobAgeMs: 1_500,
    }),
    sampleOf({ load: 1, slots: 3 }),
  ]
  await putFleetMetrics({ startedAtMs: start, samples, demand: 0.7, finished: [] })
  const common = {
    Dimensions: [{ Name: 'Stage', Value: 'production' }],
    Timestamp: new Date(start),
    StorageResolution: 1,
  }
  const MetricData = [
    { MetricName: 'Load', Unit: 'None', ...common, Values: [0.5, 1] },
    { MetricName: 'Demand', Unit: 'None', ...common, Value: 0.7 },
    { MetricName: 'QueueDepth', Unit: 'Count', ...common, Values: [7, 0] },
    { MetricName: 'OldestJobAge', Unit: 'Seconds', ...common, Values: [1.5, 0] },
    { MetricName: 'WorkerSlots', Unit: 'Count', ...common, Values: [2, 3] },
    { MetricName: 'JobsFinished', Unit: 'Count', ...common, Value: 0 },
  ]
  assert.equal(puts, [{ Namespace: 'Millrace', MetricData }])

  // CloudWatch takes at most 150 values per datum.
  const finished = Array.from({ length: 151 }, (_, bucket): [number, number] => [bucket, bucket + 1])
  await putFleetMetrics({ startedAtMs: start, samples, demand: 0.7, finished })
  const durations = [finished.slice(0, 150), finished.slice(150)].map((chunk) => ({
    MetricName: 'JobDuration',
    Unit: 'Milliseconds',
    ...common,
    Values: chunk.map(([bucket]) => bucketMs(bucket)),
    Counts: chunk.map(([, count]) => count),
  }))
  const jobs = { ...MetricData[5], Value: (151 * 152) / 2 }
  assert.equal(puts[1], {
    Namespace: 'Millrace',
    MetricData: [...MetricData.slice(0, 5), jobs, ...durations],
  })
})

test.run()
