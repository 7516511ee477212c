import { get } from 'node:http'
import { availableParallelism } from 'node:os'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Cluster, ClusterChange } from '@millrace/api/fleet/cluster-view.ts'
import { CpuBurn } from '@millrace/api/fleet/cpu-burn-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createFleetHistory, type FleetPoint } from '@millrace/shared/fleet/fleet-history.ts'
import { createHeartbeats, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { createInstanceEvents } from '@millrace/shared/fleet/instance-events.ts'
import { bucketOf } from '@millrace/shared/fleet/latency-histogram.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { watchCluster } from '../../support/watch-cluster.ts'

const test = suite('cluster')
const admin = newApiKey('ops', ['admin'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write'])
const cluster = Compile(Cluster)
const clusterChange = Compile(ClusterChange)
let closed: ApiInstances
let open: ApiInstances

test.before(async () => {
  const keys = [admin, writer].map(({ entry }) => entry).join(',')
  closed = await startApiInstances({ count: 2, environment: { API_KEYS: keys } })
  open = await startApiInstances({ environment: { OPEN_ADMIN: 'true' } })
  // Only the tests publish: without a worker, an API instance would after ten seconds.
  for (const { redis, prefix } of [closed, open]) {
    await redis.set(`${prefix}:{fleet}:publisher`, 'this test', 'PX', 10 * 60_000)
  }
})
test.after(async () => {
  await closed.close()
  await open.close()
})

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

const startedAt = new Date(0).toISOString()

/** Returns the heartbeat of an instance with requests or jobs of these durations, in ms. */
function heartbeatOf(
  id: string,
  tier: Heartbeat['tier'],
  durations: [ms: number, count: number][],
): Heartbeat {
  return {
    id,
    tier,
    state: 'serving',
    since: startedAt,
    version: '0.1.0',
    cpuPercent: 10,
    rssBytes: 1,
    slots: tier === 'worker' ? 4 : 0,
    busy: 1,
    perSecond: 2,
    latency: durations.map(([ms, count]) => [bucketOf(ms), count]),
  }
}

/** Follows the fleet until it matches. */
async function waitForCluster(api: ApiInstances, matches: (cluster: Cluster) => boolean, key?: string) {
  const events = await watchCluster(api.url, createHttpClient(api.url), key)
  const current = await events.until(matches)
  events.close()
  return current
}

test('every instance returns the live state of all instances', async () => {
  const current = await waitForCluster(closed, ({ instances }) => instances.length === 2, admin.key)
  assert.equal(
    current.instances.map(({ id, tier, state }) => `${id} ${tier} ${state}`),
    ['api-1 api serving', 'api-2 api serving'],
  )
  for (const url of closed.urls) {
    const response = await createHttpClient(url).get('/admin/cluster', bearer(admin.key))
    const { instances, tiers } = bodyOf(response, Cluster)
    assert.equal(
      instances.map(({ id }) => id),
      ['api-1', 'api-2'],
    )
    assert.is(tiers.find(({ tier }) => tier === 'api')?.serving, 2)
    assert.ok(instances.every(({ rssBytes, since }) => rssBytes > 1e6 && Date.parse(since) <= Date.now()))
  }
})

test('the cluster view counts requests but no health checks, and ignores the duration of event streams', async () => {
  const client = createHttpClient(open.url)
  for (let visits = 0; visits < 5; visits++) await client.get('/health')
  const before = await waitForCluster(open, ({ instances }) => instances[0]?.busy === 1)
  assert.is(before.tiers[0]?.latencyMs, null)
  for (let visits = 0; visits < 20; visits++) await client.get('/session')
  const after = await waitForCluster(open, ({ tiers }) => (tiers[0]?.perSecond ?? 0) > 0)
  assert.ok((after.tiers[0]?.latencyMs?.p50 ?? 0) > 0)
})

test('tier percentiles are computed from all requests, not averaged over instances', async () => {
  const heartbeats = createHeartbeats({ redis: closed.redis, prefix: closed.prefix })
  await heartbeats.publish(heartbeatOf('worker-fast', 'worker', [[10, 990]]))
  await heartbeats.publish(heartbeatOf('worker-slow', 'worker', [[1000, 10]]))
  const response = await createHttpClient(closed.url).get('/admin/cluster', bearer(admin.key))
  const { tiers, instances } = bodyOf(response, Cluster)
  const workers = tiers.find(({ tier }) => tier === 'worker')
  assert.ok(workers?.latencyMs)
  assert.ok(workers.latencyMs.p95 < 11 && workers.latencyMs.p99 < 11)
  assert.is(workers.slots, 8)
  assert.is(workers.busy, 2)
  assert.is(workers.perSecond, 4)
  const slow = instances.find(({ id }) => id === 'worker-slow')
  assert.ok((slow?.latencyMs?.p50 ?? 0) > 900)
  await heartbeats.remove('worker-fast', startedAt)
  await heartbeats.remove('worker-slow', startedAt)
})

test('the cluster view omits instances without a heartbeat and unreadable heartbeats', async () => {
  const { redis, prefix } = closed
  const heartbeats = createHeartbeats({ redis, prefix })
  await heartbeats.publish(heartbeatOf('worker-dead', 'worker', []))
  await redis.del(`${prefix}:{fleet}:heartbeat:worker-dead`)
  await heartbeats.publish(heartbeatOf('worker-odd', 'worker', []))
  await redis.set(`${prefix}:{fleet}:heartbeat:worker-odd`, '{"id":"worker-odd"}')
  assert.equal(
    (await heartbeats.list()).map(({ id }) => id),
    ['api-1', 'api-2'],
  )
  assert.is(await redis.sismember(`${prefix}:{fleet}:processes`, 'worker-dead'), 0)
  await heartbeats.remove('worker-odd', startedAt)
  assert.ok((await redis.pttl(`${prefix}:{fleet}:heartbeat:api-1`)) > 0)
})

test('the stream sends the whole history once, and then new points only', async () => {
  const { redis, prefix } = open
  const history = createFleetHistory({ redis, prefix })
  const pointOf = (at: number): FleetPoint => {
    const tier = {
      ...{ serving: 1, total: 1, cpuPercent: 1, perMinute: 1, errorsPerMinute: 0, latencyMs: null, busy: 0 },
    }
    const queue = {
      ...{ load: 0, demand: null, waiting: 0, active: 0, delayed: 0, notRelayed: 0, failed: 0, slots: 2 },
      oldestJobAgeMs: 0,
    }
    const uploads = { ready: 1, rejected: 0, failed: 0, bytes: 9 }
    return { at: new Date(at).toISOString(), periodMs: 10_000, api: tier, worker: tier, queue, uploads }
  }
  const [one, two, three] = [30, 20, 10].map((secondsAgo) => pointOf(Date.now() - secondsAgo * 1000))
  assert.ok(one && two && three)
  await history.add(one)
  await history.add(two)
  const url = new URL('/admin/cluster/events', open.url)
  const events = await openEventStream(url, createHttpClient(open.url))
  const first = cluster.Parse((await events.next())?.data)
  assert.equal(first.history, [one, two])
  const changes: ClusterChange[] = []
  await history.add(three)
  while (!changes.some((change) => change.history)) {
    const event = await events.next()
    assert.is(event?.event, 'cluster-change')
    changes.push(clusterChange.Parse(event?.data))
  }
  changes.push(clusterChange.Parse((await events.next())?.data))
  events.close()
  assert.equal(
    changes.flatMap(({ history }) => history ?? []),
    [three],
  )
  assert.ok(
    changes.every(({ at, decisions, events }) => at && !decisions && !events),
    'these have not changed',
  )
  await redis.del(`${prefix}:{fleet}:history`)
  assert.equal(bodyOf(await createHttpClient(open.url).get('/admin/cluster'), Cluster).history, [])
})

test('an instance that stopped responding is lost, and its tier has one more than are serving', async () => {
  const { redis, prefix } = closed
  const heartbeats = createHeartbeats({ redis, prefix })
  const instanceEvents = createInstanceEvents({ redis, prefix, heartbeats })
  await instanceEvents.update([heartbeatOf('worker-dead', 'worker', [])], Date.now())
  await instanceEvents.update([], Date.now())
  const response = await createHttpClient(closed.url).get('/admin/cluster', bearer(admin.key))
  const { tiers, lost, events } = bodyOf(response, Cluster)
  const workers = tiers.find(({ tier }) => tier === 'worker')
  assert.is(workers?.serving, 0)
  assert.is(workers?.lost, 1)
  assert.equal(
    lost.map(({ id }) => id),
    ['worker-dead'],
  )
  assert.equal(
    events.map(({ id, kind }) => `${id} ${kind}`),
    ['worker-dead lost'],
  )
})

test('cluster and CPU burn need an API key with the scope admin', async () => {
  const client = createHttpClient(closed.url)
  for (const path of ['/admin/cluster', '/admin/cluster/events', '/load/1']) {
    const anonymous = await client.get(path)
    assert.is(anonymous.status, 401, path)
    const session = await client.get('/session').then(() => client.get(path))
    assert.is(session.status, 401, path)
    const other = await client.get(path, bearer(writer.key))
    assert.is(other.status, 403, path)
    assert.is(bodyOf(other, Problem).code, 'forbidden')
  }
  assert.is((await client.get('/load/1', bearer(admin.key))).status, 200)
})

test('OPEN_ADMIN opens the cluster view to anonymous requests, but not to cross-site requests', async () => {
  const client = createHttpClient(open.url)
  for (const path of ['/admin/cluster', '/load/1']) {
    assert.is((await client.get(path)).status, 200)
    const crossSite = await client.get(path, { headers: { 'sec-fetch-site': 'cross-site' } })
    assert.is(crossSite.status, 403)
    assert.is(bodyOf(crossSite, Problem).code, 'cross_site')
  }
})

test('CPU burns run beside the event loop, at most one per core', async () => {
  const client = createHttpClient(open.url)
  const cores = availableParallelism()
  const before = process.cpuUsage()
  const responses = await Promise.all(Array.from({ length: cores + 1 }, () => client.get('/load/300')))
  const { user } = process.cpuUsage(before)
  assert.equal(responses.map(({ status }) => status).toSorted(), [
    ...Array.from({ length: cores }, () => 200),
    429,
  ])
  assert.ok(user > 60_000, `used ${user} µs of CPU`)
  const refused = responses.find(({ status }) => status === 429)
  assert.is(refused && bodyOf(refused, Problem).code, 'rate_limited')
  assert.is(bodyOf(await client.get('/load/1'), CpuBurn).servedBy, 'api-1')
})

test('a CPU burn of less than 1 ms, more than 10 s or no whole number is refused', async () => {
  const client = createHttpClient(open.url)
  for (const ms of ['0', '-1', '10001', '1e9', 'x']) {
    const response = await client.get(`/load/${ms}`)
    assert.is(response.status, 400, ms)
    assert.is(bodyOf(response, Problem).code, 'invalid_request')
  }
})

test('a CPU burn stops when its client disconnects', async () => {
  const client = createHttpClient(open.url)
  const requests = Array.from({ length: availableParallelism() }, () =>
    get(new URL('/load/10000', open.url), { agent: false }).on('error', () => {}),
  )
  await waitForCluster(open, ({ instances }) => (instances[0]?.busy ?? 0) > requests.length)
  assert.is((await client.get('/load/1')).status, 429)
  for (const request of requests) request.destroy()
  await until(async () => (await client.get('/load/1')).status === 200)
})

test('heartbeats and samples that are not JSON are skipped', async () => {
  const heartbeats = createHeartbeats({ redis: open.redis, prefix: open.prefix })
  await heartbeats.publish(heartbeatOf('worker-known', 'worker', []))
  const key = (name: string) => `${open.prefix}:{fleet}:${name}`
  await open.redis.sadd(key('processes'), 'worker-packed')
  await open.redis.set(key('heartbeat:worker-packed'), '\u0001packed')
  await open.redis.lpush(key('load'), '\u0001packed')
  const response = await createHttpClient(open.url).get('/admin/cluster')
  assert.is(response.status, 200)
  assert.match(JSON.stringify(response.body), /worker-known/)
  assert.not.match(JSON.stringify(response.body), /worker-packed/)
})

test.run()
