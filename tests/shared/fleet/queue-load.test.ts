import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import * as assert from 'uvu/assert'
import { type ProxyAction, type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
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

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PUBLISH_PERIOD_MS: String(periodMs) } })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.before.each(async () => {
  cloudWatch = await startCloudWatchServer()
})
test.after.each(async () => {
  await fleet.reset()
  await cloudWatch.close()
})
test.after(async () => {
  await fleet.close()
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
  // Two of the five are being worked on. A sample that is taken between may show a job at neither place, so this waits for one.
  const busy = await cloudWatch.until(
    (values) =>
      all(values.get('Load'), 2.5) &&
      all(values.get('QueueDepth'), 3) &&
      (values.get('OldestJobAge') ?? []).every((seconds) => seconds > 0),
  )

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
  const two = await Promise.all([fleet.spawnWorker(onAws()), fleet.spawnWorker(onAws())])
  const first = await Promise.race(two.map((worker) => worker.log.until(publishes).then(() => worker)))
  await cloudWatch.until((values) => all(values.get('WorkerSlots'), 4))
  const [second] = two.filter((worker) => worker !== first)
  assert.not(second?.log.lines.some(publishes))
  first.kill('SIGKILL')
  await second?.log.until(publishes)
  await cloudWatch.until((values) => all(values.get('WorkerSlots'), 2), cloudWatch.puts.length)
  const periods = cloudWatch.puts.map(({ MetricData: [datum] }) => datum?.Timestamp)
  assert.equal(periods, [...new Set(periods)])
})

test('queue load goes only to Redis off AWS', async () => {
  const journal = createFleetJournal({ redis: fleet.redis, prefix: fleet.prefix })
  const { AWS_ENDPOINT_URL_CLOUDWATCH } = onAws()
  const worker = await fleet.spawnWorker({ AWS_ENDPOINT_URL_CLOUDWATCH })
  await worker.log.until(({ event }) => event === 'publisher')
  await until(async () => (await journal.points()).length !== 0)
  const [newest] = await journal.points()
  assert.is(newest?.slots, 2)
  assert.is(cloudWatch.puts.length, 0)
})

test.run()
