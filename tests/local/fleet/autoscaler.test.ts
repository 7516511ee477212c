import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { json } from 'node:stream/consumers'
import { Cluster } from '@millrace/api/fleet/cluster-view.ts'
import { acceleratePolicy, createAutoscaler } from '@millrace/local/fleet/autoscaler.ts'
import { createCpuMetric } from '@millrace/local/fleet/cpu-metric.ts'
import type { ScalingDecision, TierScaling } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats, type Heartbeat, heartbeatMs } from '@millrace/shared/fleet/heartbeats.ts'
import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import { apiScaling, type MetricPoint, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { connectRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import sharp from 'sharp'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { openEventStream } from '../../support/event-stream.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { createPlace, mainStart, type Place } from '../../support/started-millrace.ts'
import { suite } from '../../support/suite.ts'

const test = suite('autoscaler', {}, { limitMs: 150_000 })
const cluster = Compile(Cluster)
/** A field of a scaling policy with a number instead of the shared one. */
const policyNumber =
  /\b(atLeast|atMost|percent|periods|target|cap|metricPeriodMs|warmupMs|repeatMs)\s*[:=]\s*-?\d[\d_.]*/g
let place: Place

test.before(async () => {
  place = await createPlace()
})
test.after(() => place.remove())

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

/** An autoscaler whose clock and fleet are the test's. */
function startClockwork(limits: { min: number; max: number }, size: number) {
  let nowMs = 0
  const fleet = { desired: size, inService: size, starting: 0 }
  const history: MetricPoint[] = []
  const said: string[] = []
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
    say: (line) => said.push(line),
    now: () => nowMs,
  })
  return {
    said,
    decisions,
    scaling: () => scalings.at(-1),
    fleet,
    /** Lets periods of the metric pass, all with this value, and whoever starts be there at the end of each. */
    async pass(periods: number, values: MetricPoint['values']) {
      for (let period = 0; period < periods; period++) {
        nowMs += metricPeriodMs
        history.push({ atMs: nowMs, values })
        await autoscaler.look()
        fleet.inService += fleet.starting
        fleet.starting = 0
      }
    },
    /** Lets time pass without any news. */
    async silence(ms: number) {
      nowMs += ms
      await autoscaler.look()
    },
  }
}

const { scaleOut, scaleIn, repeatMs, metricPeriodMs } = workerScaling
const [burst] = scaleOut
/** Neither so much that the fleet grows nor so little that it shrinks. */
const calm = { [fleetMetrics.load.name]: (scaleIn.atMost + workerScaling.tracking.target) / 2 }
const nothing = { [fleetMetrics.load.name]: 0, [fleetMetrics.demand.name]: 0 }
const grown = (size: number) => size + Math.max(1, Math.floor((size * burst.percent) / 100))

test('grows on a burst at once, and no further until the pause is over', async () => {
  const clockwork = startClockwork({ min: 1, max: 100 }, 2)
  const sudden = { ...calm, [burst.metric]: burst.atLeast }
  await clockwork.pass(1, sudden)
  assert.is(clockwork.fleet.desired, grown(2))
  assert.is(clockwork.said.length, 1)
  assert.match(
    clockwork.said[0] ?? '',
    `Autoscaler: workers 2 → ${grown(2)}. ${burst.metric} ${burst.atLeast} is at least ${burst.atLeast}`,
  )
  assert.equal(
    clockwork.decisions.map(({ tier, from, to }) => [tier, from, to]),
    [['worker', 2, grown(2)]],
  )
  await clockwork.pass(1, sudden)
  await clockwork.pass(repeatMs / metricPeriodMs - 2, calm)
  assert.is(clockwork.decisions.length, 1)
  await clockwork.pass(1, sudden)
  assert.is(clockwork.fleet.desired, grown(grown(2)))
})

test('shrinks when there is little to do for long, to its minimum and not below', async () => {
  const clockwork = startClockwork({ min: 1, max: 16 }, 4)
  await clockwork.pass(scaleIn.periods - 1, nothing)
  assert.is(clockwork.fleet.desired, 4)
  await clockwork.pass(1, nothing)
  assert.ok(clockwork.fleet.desired < 4)
  await clockwork.pass(100, nothing)
  assert.is(clockwork.fleet.desired, 1)
  assert.match(clockwork.scaling()?.reason ?? '', 'is at most')
  assert.is(clockwork.decisions[0]?.from, 4)
  assert.is(clockwork.decisions.at(-1)?.to, 1)
})

test('keeps what it has without news of the load, and within its limits always', async () => {
  const clockwork = startClockwork({ min: 2, max: 3 }, 1)
  await clockwork.silence(1)
  assert.is(clockwork.fleet.desired, 2)
  await clockwork.pass(1, { [burst.metric]: 50 })
  assert.is(clockwork.fleet.desired, 3)
  await clockwork.silence(10 * 60_000)
  assert.is(clockwork.fleet.desired, 3)
  assert.match(clockwork.scaling()?.reason ?? '', 'no recent value')
})

test('hurries without changing anything but time', () => {
  const acceleratedPolicy = acceleratePolicy(workerScaling, 10)
  const { warmupMs } = workerScaling
  assert.equal({ ...acceleratedPolicy, metricPeriodMs, warmupMs, repeatMs }, workerScaling)
  const times = [acceleratedPolicy.metricPeriodMs, acceleratedPolicy.warmupMs, acceleratedPolicy.repeatMs]
  assert.equal(times, [metricPeriodMs / 10, warmupMs / 10, repeatMs / 10])
  assert.equal(acceleratePolicy(apiScaling, 1), apiScaling)
})

test('has no numbers of its own: thresholds, shares and pauses are those of the shared policy', () => {
  const folder = new URL('../../../packages/local/src/fleet/', import.meta.url)
  const numbers = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) =>
      [...readFileSync(new URL(name, folder), 'utf8').matchAll(policyNumber)].map(
        ([found]) => `${name}: ${found}`,
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

test('measures CPU as the average of the instances that serve, over each period', async () => {
  let nowMs = 1_000
  let heartbeats: Pick<Heartbeat, 'tier' | 'state' | 'cpuPercent'>[] = []
  const readCpu = createCpuMetric({
    heartbeats: { list: async () => heartbeats.map((said) => ({ ...idle, ...said })) },
    tier: 'api',
    metric: 'CPU',
    periodMs: 60_000,
    keptPoints: 3,
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
  assert.equal((await readCpu()).length, 1, 'nobody there is not nothing to do')
})

test('starts and drains real processes as the queue and the CPU demand', async () => {
  const flags = ['--port', '0', '--workers', '1..3', '--api', '1..2', '--speed', '40']
  const redisUrl = process.env['REDIS_URL'] ?? ''
  const prefix = `test-${randomUUID()}`
  const millrace = mainStart(place, flags, { WORKER_SLOTS: '2', REDIS_URL: redisUrl, REDIS_PREFIX: prefix })
  const url = await millrace.ready
  const client = createHttpClient(url)
  await client.get('/session')
  const events = await openEventStream(new URL('/admin/cluster/events', url), client)
  const clusterWhere = async (fits: (cluster: Cluster) => boolean): Promise<Cluster> => {
    for (;;) {
      const event = await events.next()
      if (!event) throw new Error('The stream ended.')
      const seen = cluster.Parse(event.data)
      if (fits(seen)) return seen
    }
  }
  const workersOf = ({ instances }: Cluster) =>
    instances.filter(({ tier, state }) => tier === 'worker' && state === 'serving').length

  const photo = await sharp({ create: { width: 1200, height: 800, channels: 3, background: '#468' } })
    .jpeg()
    .toBuffer()
  const send = async (): Promise<string> => {
    const answer = await fetch(new URL('/upload?filename=photo.jpg', url), {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', cookie: client.cookie ?? '' },
      body: new Uint8Array(photo),
    })
    return String(Object(await answer.json())['id'])
  }
  // How much CPU the API gets of a machine that runs tests is chance: somebody else says that it is much.
  const redis = connectRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  const heartbeats = createHeartbeats({ redis, prefix })
  const busy: Heartbeat = { ...idle, id: 'api-busy', tier: 'api', cpuPercent: 500 }
  const beating = setInterval(() => heartbeats.publish(busy), heartbeatMs)

  // Without a job of its own, which would be taken over only after its lock has run out.
  const doomed = place.processes().find(({ environment }) => environment.includes('INSTANCE=worker-1'))
  assert.ok(doomed)
  process.kill(doomed.pid, 'SIGKILL')
  const born = Date.now()
  const sent = await Promise.all(Array.from({ length: 30 }, send))
  await clusterWhere(({ instances }) =>
    instances.some(({ id, since }) => id === 'worker-1' && Date.parse(since) >= born - 1_000),
  )
  await clusterWhere((seen) => workersOf(seen) >= 2)
  assert.match(millrace.errors(), /worker-1 ended \(SIGKILL\); starting it again/)
  assert.match(millrace.errors(), /Autoscaler: workers 1 → \d\. (Load|Demand) [\d.]+ is (at least|above)/)

  // One at a time, while the fleet shrinks: workers leave in the middle of it.
  let shrunk = false
  const small = clusterWhere(({ decisions }) =>
    decisions.some(({ tier, to }) => tier === 'worker' && to === 1),
  )
  small.finally(() => {
    shrunk = true
  })
  while (!shrunk) {
    const id = await send()
    sent.push(id)
    const uploadEvents = await openEventStream(new URL(`/uploads/${id}/events`, url), client)
    while (await uploadEvents.next());
  }
  await small
  for (const id of sent) {
    const answer = await client.get(`/uploads/${id}`)
    assert.is(Object(answer.body)['state'], 'ready')
  }

  const two = await clusterWhere(({ instances }) => instances.some(({ id }) => id === 'api-2'))
  assert.match(
    two.decisions.find(({ tier }) => tier === 'api')?.reason ?? '',
    /CPUUtilization [\d.]+ is at least 50/,
  )
  const answeredBy = new Set<unknown>()
  while (answeredBy.size < 2) {
    const [answer] = await once(get(new URL('/health', url), { agent: false }), 'response')
    answeredBy.add(Object(await json(answer))['instance'])
  }
  clearInterval(beating)
  redis.disconnect()
  events.close()
  millrace.signal('SIGTERM')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(place.processes(), [])
})

test.run()
