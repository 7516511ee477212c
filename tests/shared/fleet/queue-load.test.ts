import { createFinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { createQueueLoadPublisher } from '@millrace/shared/fleet/queue-load-publisher.ts'
import { createQueueSampler, type FleetSample } from '@millrace/shared/fleet/queue-sampler.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createRedisLease } from '@millrace/shared/service/redis-lease.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ProxyAction, type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import {
  type CloudWatchServer,
  startCloudWatchServer,
  valuesOf,
} from '../../worker/support/cloudwatch-server.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('load signal', {}, { limitMs: 60_000 })
const periodMs = 250
let fleet: WorkerFleet
let cloudWatch: CloudWatchServer
let proxy: S3Proxy

test.before.each(async () => {
  fleet = await startWorkerFleet({ environment: { PUBLISH_PERIOD_MS: String(periodMs) } })
  cloudWatch = await startCloudWatchServer()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.after.each(async () => {
  await fleet.close()
  await cloudWatch.close()
  await proxy.close()
})

const onAws = () => ({ METRICS_STAGE: 'test', AWS_ENDPOINT_URL_CLOUDWATCH: cloudWatch.endpoint })
const all = (values: number[] | undefined, value: number) =>
  values !== undefined && values.length > 0 && values.every((each) => each === value)
const sum = (values: number[] = []) => values.reduce((one, other) => one + other, 0)

test('queue load is zero without jobs, grows with waiting jobs, and is published while CloudWatch fails', async () => {
  const released = Promise.withResolvers<void>()
  proxy.intercept(async ({ method, path }): Promise<ProxyAction> => {
    if (method === 'PUT' && path.includes('/manifests/')) await released.promise
    return 'pass'
  })
  const worker = await fleet.spawnWorker({ ...onAws(), AWS_ENDPOINT_URL_S3: proxy.endpoint })
  const idle = await cloudWatch.until(
    (values) =>
      all(values.get('WorkerSlots'), 2) && all(values.get('Load'), 0) && all(values.get('Demand'), 0),
  )
  const put = cloudWatch.puts[idle]
  assert.ok(put)
  assert.is(put.Namespace, 'Millrace')
  assert.equal(
    [...valuesOf(put)].map(([name, values]) => [name, sum(values)]),
    [
      ['Load', 0],
      ['Demand', 0],
      ['QueueDepth', 0],
      ['OldestJobAge', 0],
      ['WorkerSlots', 2 * (valuesOf(put).get('WorkerSlots')?.length ?? 0)],
      ['JobsFinished', 0],
    ],
  )
  for (const { Dimensions, Timestamp } of put.MetricData) {
    assert.equal(Dimensions, [{ Name: 'Stage', Value: 'test' }])
    assert.is((Timestamp * 1000) % periodMs, 0, 'a period of CloudWatch')
  }

  const arrived = await Promise.all(Array.from({ length: 5 }, () => fleet.arrive(Buffer.from('just text'))))
  const busy = await cloudWatch.until((values) => all(values.get('Load'), 2.5))
  const loaded = cloudWatch.puts[busy]
  assert.ok(loaded)
  assert.ok(all(valuesOf(loaded).get('QueueDepth'), 3))
  assert.ok(Math.max(...(valuesOf(loaded).get('OldestJobAge') ?? [])) > 0)

  released.resolve()
  for (const address of arrived) await fleet.finished(address)
  const empty = await cloudWatch.until((values) => all(values.get('Load'), 0), busy)
  // A job is counted after it left the queue, so the last ones may be of a later period.
  const jobsFinished = () => sum(cloudWatch.puts.flatMap((put) => valuesOf(put).get('JobsFinished') ?? []))
  await cloudWatch.until(() => jobsFinished() >= 5, empty)
  const finished = cloudWatch.puts.map(valuesOf)
  assert.is(sum(finished.flatMap((values) => values.get('JobsFinished') ?? [])), 5)
  const durations = finished.flatMap((values) => values.get('JobDuration') ?? [])
  assert.is(durations.length, 5)
  assert.ok(durations.every((ms) => ms > 1 && ms < 60_000))

  cloudWatch.respondWith(500)
  await worker.log.until(({ event }) => event === 'metrics-failed')
  cloudWatch.respondWith(200)
  await cloudWatch.until(() => true, cloudWatch.puts.length)
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 0)
})

test('another worker publishes the queue load after its publisher is killed, one at a time', async () => {
  const publishes = ({ event }: Record<string, unknown>) => event === 'publisher'
  type Worker = Awaited<ReturnType<typeof fleet.spawnWorker>>
  const nextPublisher = (workers: Worker[]) =>
    Promise.race(workers.map((worker) => worker.log.until(publishes).then(() => worker)))

  const two = await Promise.all([fleet.spawnWorker(onAws()), fleet.spawnWorker(onAws())])
  const first = await nextPublisher(two)
  await cloudWatch.until((values) => all(values.get('WorkerSlots'), 4))
  const second = two.find((worker) => worker !== first)
  assert.ok(second)
  assert.not(second.log.lines.some(publishes))
  first.kill('SIGKILL')
  // Starts while the lease runs out, and may be the heir.
  const third = await fleet.spawnWorker(onAws())
  const heir = await nextPublisher([second, third])
  const last = heir === second ? third : second
  assert.not(last.log.lines.some(publishes))
  heir.kill('SIGTERM')
  await nextPublisher([last])
  await cloudWatch.until((values) => all(values.get('WorkerSlots'), 2), cloudWatch.puts.length)
  const periods = cloudWatch.puts.map(({ MetricData: [datum] }) => datum?.Timestamp)
  // Who hands the lease on has looked at the same period as who takes it, but does not write it.
  assert.equal(periods, [...new Set(periods)])
})

test('queue load goes only to Redis off AWS', async () => {
  const journal = createFleetJournal({ redis: fleet.redis, prefix: fleet.prefix })
  const { AWS_ENDPOINT_URL_CLOUDWATCH } = onAws()
  const worker = await fleet.spawnWorker({ AWS_ENDPOINT_URL_CLOUDWATCH })
  await worker.log.until(({ event }) => event === 'publisher')
  while ((await journal.points()).length === 0) await fleet.redis.ping()
  const [newest] = await journal.points()
  assert.is(newest?.slots, 2)
  assert.is(cloudWatch.puts.length, 0)
})

test('a sample counts waiting messages and jobs, and the slots of workers that are not draining', async () => {
  const { redis, prefix, queue, sqs } = fleet
  const heartbeats = createHeartbeats({ redis, prefix })
  const queueUrl = fleet.environment['EVENTS_QUEUE_URL'] ?? ''
  const sampleQueue = createQueueSampler({ queue, sqs, queueUrl, heartbeats })
  // S3 sent a test event when the bucket was configured.
  const { notRelayed: before } = (await sampleQueue()).queue
  for (let message = 0; message < 3; message++) await fleet.message('{}')
  for (const etag of ['one', 'two']) await queue.add({ owner: 's-tester', id: newUploadId(), etag })
  const { at, oldestJobAgeMs, load: asleep, ...counts } = (await sampleQueue()).queue
  assert.equal(counts, {
    waiting: 0,
    prioritized: 2,
    active: 0,
    delayed: 0,
    failed: 0,
    notRelayed: before + 3,
    slots: 0,
  })
  assert.ok(asleep > 100, 'enough to wake a fleet of none')
  assert.ok(oldestJobAgeMs >= 0 && oldestJobAgeMs < 60_000)

  const said = { since: at, version: '0', cpuPercent: 0, rssBytes: 0, busy: 0, perSecond: 0, latency: [] }
  const tell = (id: string, tier: Heartbeat['tier'], state: Heartbeat['state'], slots: number) =>
    heartbeats.publish({ ...said, id, tier, state, slots })
  await tell('a', 'worker', 'serving', 3)
  await tell('b', 'worker', 'serving', 1)
  await tell('c', 'worker', 'draining', 8)
  await tell('d', 'api', 'serving', 0)
  const { load, slots } = (await sampleQueue()).queue
  assert.is(slots, 4)
  assert.is(load, (before + 5) / 4)
})

test('the API publishes the queue load only if no worker does', async () => {
  const { redis, prefix } = fleet
  const key = `${prefix}:{fleet}:publisher`
  const lease = (holder: string) => createRedisLease({ redis, key, holder, ttlMs: 60_000 })
  const looked = Promise.withResolvers<void>()
  let isFree = false
  let samplesBefore = 0
  const publisher = createQueueLoadPublisher({
    lease: lease('api-1'),
    async sampleQueue(): Promise<FleetSample> {
      if (isFree) looked.resolve()
      else samplesBefore += 1
      const jobs = { waiting: 0, prioritized: 0, active: 0, notRelayed: 0 }
      const queue = { at: new Date().toISOString(), load: 0, ...jobs, slots: 0, oldestJobAgeMs: 0 }
      return { queue, processes: [] }
    },
    historyRecorder: { observe: async () => undefined, reset: () => undefined },
    finishedJobs: createFinishedJobs({ redis, prefix }),
    journal: createFleetJournal({ redis, prefix }),
    putFleetMetrics: undefined,
    samplePeriodMs: 10,
    publishPeriodMs: 10_000,
    takeoverDelayMs: 100,
    log: createLog({ level: 'silent', instance: 'test' }),
  })
  const worker = lease('worker-1')
  assert.ok(await worker.hold())
  assert.not(await lease('worker-2').hold())
  publisher.start()
  for (let asked = 0; asked < 200; asked++) assert.is(await worker.holder(), 'worker-1')
  assert.is(samplesBefore, 0)
  isFree = true
  await worker.release()
  await looked.promise
  assert.is(await worker.holder(), 'api-1')
  await lease('another').release()
  assert.is(await worker.holder(), 'api-1', 'another process cannot release the lease')
  await publisher.stop()
  assert.is(await worker.holder(), undefined)
})

test.run()
