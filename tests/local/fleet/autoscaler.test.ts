import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { json } from 'node:stream/consumers'
import type { Cluster } from '@millrace/api/fleet/cluster-view.ts'
import { acceleratePolicy, createAutoscaler } from '@millrace/local/fleet/autoscaler.ts'
import { createCpuMetric } from '@millrace/local/fleet/cpu-metric.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import type { ScalingDecision, TierScaling } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats, type Heartbeat, heartbeatMs } from '@millrace/shared/fleet/heartbeats.ts'
import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import { apiScaling, type MetricPoint, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import * as assert from 'uvu/assert'
import { cookieClient } from '../../client/support/cookie-client.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { createSandbox, type Sandbox, startWithNode } from '../../support/start-millrace.ts'
import { suite } from '../../support/suite.ts'
import { watchCluster } from '../../support/watch-cluster.ts'
import { samplePicture } from '../../worker/support/sample-images.ts'

const test = suite('autoscaler', {}, { limitMs: 150_000 })
/** Matches a field of a scaling policy that has a literal number instead of the shared one. */
const policyNumber =
  /\b(atLeast|atMost|percent|periods|target|cap|metricPeriodMs|warmupMs|repeatMs)\s*[:=]\s*-?\d[\d_.]*/g
let sandbox: Sandbox

test.before(async () => {
  sandbox = await createSandbox()
})
test.after(() => sandbox.remove())

const idle: Heartbeat = {
  id: 'api-1',
  tier: 'api',
  state: 'serving',
  since: new Date(0).toISOString(),
  version: '0.1.0',
  cpuPercent: 0,
  rssBytes: 0,
  slots: 0,
  busy: 0,
  perSecond: 0,
  latency: [],
}

/** Creates an autoscaler with a clock and a fleet that the test controls. */
function createControlledAutoscaler(limits: { min: number; max: number }, size: number) {
  let nowMs = 0
  const fleet = { desired: size, inService: size, starting: 0 }
  const history: MetricPoint[] = []
  const printed: string[] = []
  const decisions: ScalingDecision[] = []
  const scalings: TierScaling[] = []
  const autoscaler = createAutoscaler({
    tier: 'worker',
    policy: workerScaling,
    limits,
    fleet: {
      size: () => ({ ...fleet }),
      resize(desired) {
        fleet.starting = Math.max(0, desired - fleet.inService)
        fleet.inService = Math.min(fleet.inService, desired)
        fleet.desired = desired
      },
    },
    readMetrics: async () => history,
    journal: {
      setScaling: async (scaling) => void scalings.push(scaling),
      addDecision: async (decision) => void decisions.push(decision),
    },
    print: (line) => printed.push(line),
    now: () => nowMs,
  })
  return {
    printed,
    decisions,
    scaling: () => scalings.at(-1),
    fleet,
    /** Advances the clock by periods with these values. Starting instances are in service at the end of each. */
    async advance(periods: number, values: MetricPoint['values']) {
      for (let period = 0; period < periods; period++) {
        nowMs += metricPeriodMs
        history.push({ atMs: nowMs, values })
        await autoscaler.evaluate()
        fleet.inService += fleet.starting
        fleet.starting = 0
      }
    },
    /** Advances the clock without new values. */
    async advanceWithoutValues(ms: number) {
      nowMs += ms
      await autoscaler.evaluate()
    },
  }
}

const { scaleOut, scaleIn, repeatMs, metricPeriodMs } = workerScaling
const [burst] = scaleOut
/** Values with which the fleet neither grows nor shrinks. */
const steady = { [fleetMetrics.load.name]: (scaleIn.atMost + workerScaling.tracking.target) / 2 }
const noLoad = { [fleetMetrics.load.name]: 0, [fleetMetrics.demand.name]: 0 }
const sizeAfterBurst = (size: number) => size + Math.max(1, Math.floor((size * burst.percent) / 100))

test('a burst grows the fleet immediately, and not again within the repeat time', async () => {
  const scaler = createControlledAutoscaler({ min: 1, max: 100 }, 2)
  const burstValues = { ...steady, [burst.metric]: burst.atLeast }
  await scaler.advance(1, burstValues)
  assert.is(scaler.fleet.desired, sizeAfterBurst(2))
  assert.is(scaler.printed.length, 1)
  assert.match(
    scaler.printed[0] ?? '',
    `Autoscaler: workers 2 → ${sizeAfterBurst(2)}. ${burst.metric} ${burst.atLeast} is at least ${burst.atLeast}`,
  )
  assert.equal(
    scaler.decisions.map(({ tier, from, to }) => [tier, from, to]),
    [['worker', 2, sizeAfterBurst(2)]],
  )
  await scaler.advance(1, burstValues)
  await scaler.advance(repeatMs / metricPeriodMs - 2, steady)
  assert.is(scaler.decisions.length, 1)
  await scaler.advance(1, burstValues)
  assert.is(scaler.fleet.desired, sizeAfterBurst(sizeAfterBurst(2)))
})

test('low load for several periods shrinks the fleet to its minimum', async () => {
  const scaler = createControlledAutoscaler({ min: 1, max: 16 }, 4)
  await scaler.advance(scaleIn.periods - 1, noLoad)
  assert.is(scaler.fleet.desired, 4)
  await scaler.advance(1, noLoad)
  const lowest = scaleIn.steps.at(-1)
  assert.is(scaler.fleet.desired, 4 - Math.floor((4 * (lowest?.percent ?? 0)) / 100))
  await scaler.advance(100, noLoad)
  assert.is(scaler.fleet.desired, 1)
  assert.match(scaler.scaling()?.reason ?? '', 'is at most')
  assert.is(scaler.decisions[0]?.from, 4)
  assert.is(scaler.decisions.at(-1)?.to, 1)
})

test('without recent values the fleet keeps its size, and it always stays within its limits', async () => {
  const scaler = createControlledAutoscaler({ min: 2, max: 3 }, 1)
  await scaler.advanceWithoutValues(1)
  assert.is(scaler.fleet.desired, 2)
  await scaler.advance(1, { [burst.metric]: 50 })
  assert.is(scaler.fleet.desired, 3)
  await scaler.advanceWithoutValues(10 * 60_000)
  assert.is(scaler.fleet.desired, 3)
  assert.match(scaler.scaling()?.reason ?? '', 'no recent value')
})

test('acceleratePolicy changes times only', () => {
  const acceleratedPolicy = acceleratePolicy(workerScaling, 10)
  const { warmupMs } = workerScaling
  assert.equal({ ...acceleratedPolicy, metricPeriodMs, warmupMs, repeatMs }, workerScaling)
  const times = [acceleratedPolicy.metricPeriodMs, acceleratedPolicy.warmupMs, acceleratedPolicy.repeatMs]
  assert.equal(times, [metricPeriodMs / 10, warmupMs / 10, repeatMs / 10])
  assert.equal(acceleratePolicy(apiScaling, 1), apiScaling)
})

test('the autoscaler takes all thresholds, percentages and times from the shared policy', () => {
  const folder = new URL('../../../packages/local/src/fleet/', import.meta.url)
  const numbers = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) =>
      [...readFileSync(new URL(name, folder), 'utf8').matchAll(policyNumber)].map(
        ([match]) => `${name}: ${match}`,
      ),
    )
  assert.equal(numbers, [])
  assert.match('scaleOut: [{ atLeast: 50 }]', policyNumber)
  const source = readFileSync(new URL('autoscaling.ts', folder), 'utf8')
  assert.match(
    source,
    /import \{[^}]*apiScaling[^}]*workerScaling,?\s*\} from '@millrace\/shared\/fleet\/scaling-policy\.ts'/,
  )
})

test('the CPU metric is the average of the serving instances over each period', async () => {
  let nowMs = 1_000
  let heartbeats: Pick<Heartbeat, 'tier' | 'state' | 'cpuPercent'>[] = []
  const readCpu = createCpuMetric({
    heartbeats: { list: async () => heartbeats.map((heartbeat) => ({ ...idle, ...heartbeat })) },
    tier: 'api',
    metric: 'CPU',
    periodMs: 60_000,
    maxPoints: 3,
    now: () => nowMs,
  })
  heartbeats = [
    { tier: 'api', state: 'serving', cpuPercent: 80 },
    { tier: 'api', state: 'serving', cpuPercent: 40 },
    { tier: 'api', state: 'draining', cpuPercent: 0 },
    { tier: 'worker', state: 'serving', cpuPercent: 400 },
  ]
  assert.equal(await readCpu(), [])
  nowMs = 61_000
  heartbeats = [{ tier: 'api', state: 'serving', cpuPercent: 30 }]
  assert.equal(await readCpu(), [{ atMs: 61_000, values: { CPU: 50 } }])
  heartbeats = []
  nowMs = 200_000
  assert.equal((await readCpu()).length, 1, 'a period without instances adds no point')
})

test('real processes are started and drained according to the queue and the CPU use', async () => {
  const flags = ['--port', '0', '--workers', '1..3', '--api', '1..2', '--speed', '40']
  const redisUrl = process.env['REDIS_URL'] ?? ''
  const prefix = `test-${randomUUID()}`
  const millrace = startWithNode(sandbox, flags, {
    WORKER_SLOTS: '2',
    REDIS_URL: redisUrl,
    REDIS_PREFIX: prefix,
  })
  const url = await millrace.ready
  const client = createHttpClient(url)
  await client.get('/session')
  const events = await watchCluster(url, client)
  const waitForCluster = events.until
  const workersOf = ({ instances }: Cluster) =>
    instances.filter(({ tier, state }) => tier === 'worker' && state === 'serving').length

  // A small one: what counts is the number of jobs.
  const photo = await samplePicture(320, 240).jpeg().toBuffer()
  // It repeats requests whose connection the balancer closed: on a busy machine an instance misses health checks.
  const sender = cookieClient(new URL(url).origin)
  await sender.api.GET('/session')
  const file = new Blob([new Uint8Array(photo)], { type: 'image/jpeg' })
  const send = async () => (await sender.upload(file, { filename: 'photo.jpg' })).id
  // The API's real CPU use depends on other tests on the machine. So a second heartbeat reports a high value.
  const redis = connectRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  const heartbeats = createHeartbeats({ redis, prefix })
  const busy: Heartbeat = { ...idle, id: 'api-busy', tier: 'api', cpuPercent: 500 }
  const heartbeatTimer = setInterval(() => heartbeats.publish(busy), heartbeatMs)

  // Killed while it has no job: another worker could take over a job only after its lock has expired.
  const killed = sandbox.processes().find(({ environment }) => environment.includes('INSTANCE=worker-1'))
  assert.ok(killed)
  process.kill(killed.pid, 'SIGKILL')
  const killedAt = Date.now()
  const sent = await Promise.all(Array.from({ length: 30 }, send))
  await waitForCluster(({ instances }) =>
    instances.some(({ id, since }) => id === 'worker-1' && Date.parse(since) >= killedAt - 1_000),
  )
  await waitForCluster((current) => workersOf(current) >= 2)
  assert.match(millrace.errors(), /worker-1 exited \(SIGKILL\); restarting it/)
  assert.match(millrace.errors(), /Autoscaler: workers 1 → \d\. (Load|Demand) [\d.]+ is (at least|above)/)

  // One upload at a time while the fleet shrinks: workers drain during an upload.
  let shrunk = false
  const shrinking = waitForCluster(({ decisions }) =>
    decisions.some(({ tier, to }) => tier === 'worker' && to === 1),
  )
  shrinking.finally(() => {
    shrunk = true
  })
  while (!shrunk) {
    const id = await send()
    sent.push(id)
    await sender.waitUntilFinished(id)
  }
  await shrinking
  for (const id of sent) assert.is((await sender.get(id)).state, 'ready')

  const withTwoInstances = await waitForCluster(({ instances }) => instances.some(({ id }) => id === 'api-2'))
  assert.match(
    withTwoInstances.decisions.find(({ tier }) => tier === 'api')?.reason ?? '',
    /CPUUtilization [\d.]+ is at least 50/,
  )
  const respondingInstances = new Set<unknown>()
  while (respondingInstances.size < 2) {
    const [response] = await once(get(new URL('/health', url), { agent: false }), 'response')
    respondingInstances.add(Object(await json(response))['instance'])
  }
  clearInterval(heartbeatTimer)
  redis.disconnect()
  events.close()
  millrace.signal('SIGTERM')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(sandbox.processes(), [])
})

test.run()
