import { get } from 'node:http'
import { availableParallelism } from 'node:os'
import { Cluster } from '@millrace/api/fleet/cluster-view.ts'
import { BurntCpu } from '@millrace/api/fleet/cpu-burn-routes.ts'
import { Problem } from '@millrace/api/http/problem.ts'
import { newApiKey } from '@millrace/api/identity/api-keys.ts'
import { createHeartbeats, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { bucketOf } from '@millrace/shared/fleet/latency-histogram.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('cluster')
const admin = newApiKey('ops', ['admin'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write'])
const cluster = Compile(Cluster)
let closed: ApiInstances
let open: ApiInstances

test.before(async () => {
  const keys = [admin, writer].map(({ entry }) => entry).join(',')
  closed = await startApiInstances({ count: 2, environment: { API_KEYS: keys } })
  open = await startApiInstances({ environment: { OPEN_ADMIN: 'true' } })
})
test.after(async () => {
  await closed.close()
  await open.close()
})

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

/** A process as it would tell of itself that answered requests of these durations, in ms. */
function heartbeatOf(
  id: string,
  tier: Heartbeat['tier'],
  durations: [ms: number, count: number][],
): Heartbeat {
  return {
    id,
    tier,
    state: 'serving',
    since: new Date(0).toISOString(),
    version: '0.1.0',
    cpuPercent: 10,
    rssBytes: 1,
    slots: tier === 'worker' ? 4 : 0,
    busy: 1,
    perSecond: 2,
    latency: durations.map(([ms, count]) => [bucketOf(ms), count]),
  }
}

/** Looks until the fleet is as it is waited for. */
async function clusterWhere(api: ApiInstances, fits: (cluster: Cluster) => boolean, key?: string) {
  const events = await openEventStream(
    new URL('/admin/cluster/events', api.url),
    createHttpClient(api.url),
    undefined,
    key,
  )
  for (;;) {
    const event = await events.next()
    if (!event) throw new Error('The stream ended.')
    assert.is(event.event, 'cluster')
    const seen = cluster.Parse(event.data)
    if (!fits(seen)) continue
    events.close()
    return seen
  }
}

test('shows every instance, whichever is asked, live', async () => {
  const seen = await clusterWhere(closed, ({ instances }) => instances.length === 2, admin.key)
  assert.equal(
    seen.instances.map(({ id, tier, state }) => `${id} ${tier} ${state}`),
    ['api-1 api serving', 'api-2 api serving'],
  )
  for (const url of closed.urls) {
    const answer = await createHttpClient(url).get('/admin/cluster', bearer(admin.key))
    const { instances, tiers } = bodyOf(answer, Cluster)
    assert.equal(
      instances.map(({ id }) => id),
      ['api-1', 'api-2'],
    )
    assert.is(tiers.find(({ tier }) => tier === 'api')?.serving, 2)
    assert.ok(instances.every(({ rssBytes, since }) => rssBytes > 1e6 && Date.parse(since) <= Date.now()))
  }
})

test('counts requests but not probes, and not how long a stream was watched', async () => {
  const client = createHttpClient(open.url)
  for (let visits = 0; visits < 5; visits++) await client.get('/health')
  const before = await clusterWhere(open, ({ instances }) => instances[0]?.busy === 1)
  assert.is(before.tiers[0]?.latencyMs, null)
  for (let visits = 0; visits < 20; visits++) await client.get('/session')
  const after = await clusterWhere(open, ({ tiers }) => (tiers[0]?.perSecond ?? 0) > 0)
  assert.ok((after.tiers[0]?.latencyMs?.p50 ?? 0) > 0)
})

test('gives percentiles of all requests, not averages of instances', async () => {
  const heartbeats = createHeartbeats({ redis: closed.redis, prefix: closed.prefix })
  await heartbeats.publish(heartbeatOf('worker-fast', 'worker', [[10, 990]]))
  await heartbeats.publish(heartbeatOf('worker-slow', 'worker', [[1000, 10]]))
  const answer = await createHttpClient(closed.url).get('/admin/cluster', bearer(admin.key))
  const { tiers, instances } = bodyOf(answer, Cluster)
  const workers = tiers.find(({ tier }) => tier === 'worker')
  assert.ok(workers?.latencyMs)
  assert.ok(workers.latencyMs.p95 < 11 && workers.latencyMs.p99 < 11)
  assert.is(workers.slots, 8)
  assert.is(workers.busy, 2)
  assert.is(workers.perSecond, 4)
  const slow = instances.find(({ id }) => id === 'worker-slow')
  assert.ok((slow?.latencyMs?.p50 ?? 0) > 900)
  await heartbeats.remove('worker-fast')
  await heartbeats.remove('worker-slow')
})

test('leaves out what is dead, and what it cannot read', async () => {
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
  await heartbeats.remove('worker-odd')
  assert.ok((await redis.pttl(`${prefix}:{fleet}:heartbeat:api-1`)) > 0)
})

test('is for keys of the scope admin alone', async () => {
  const client = createHttpClient(closed.url)
  for (const path of ['/admin/cluster', '/admin/cluster/events', '/load/1']) {
    const nobody = await client.get(path)
    assert.is(nobody.status, 401, path)
    const session = await client.get('/session').then(() => client.get(path))
    assert.is(session.status, 401, path)
    const other = await client.get(path, bearer(writer.key))
    assert.is(other.status, 403, path)
    assert.is(bodyOf(other, Problem).code, 'forbidden')
  }
  assert.is((await client.get('/load/1', bearer(admin.key))).status, 200)
})

test('is open to everybody where that is set, but not to pages of other sites', async () => {
  const client = createHttpClient(open.url)
  for (const path of ['/admin/cluster', '/load/1']) {
    assert.is((await client.get(path)).status, 200)
    const crossSite = await client.get(path, { headers: { 'sec-fetch-site': 'cross-site' } })
    assert.is(crossSite.status, 403)
    assert.is(bodyOf(crossSite, Problem).code, 'cross_site')
  }
})

test('burns CPU beside the event loop, no more at once than there are cores', async () => {
  const client = createHttpClient(open.url)
  const cores = availableParallelism()
  const before = process.cpuUsage()
  const answers = await Promise.all(Array.from({ length: cores + 1 }, () => client.get('/load/300')))
  const { user } = process.cpuUsage(before)
  assert.equal(answers.map(({ status }) => status).toSorted(), [
    ...Array.from({ length: cores }, () => 200),
    429,
  ])
  assert.ok(user > 60_000, `${user} µs were used`)
  const refused = answers.find(({ status }) => status === 429)
  assert.is(refused && bodyOf(refused, Problem).code, 'rate_limited')
  assert.is(bodyOf(await client.get('/load/1'), BurntCpu).servedBy, 'api-1')
})

test('burns for bounded whole milliseconds only', async () => {
  const client = createHttpClient(open.url)
  for (const ms of ['0', '-1', '10001', '1e9', 'x']) {
    const answer = await client.get(`/load/${ms}`)
    assert.is(answer.status, 400, ms)
    assert.is(bodyOf(answer, Problem).code, 'invalid_request')
  }
})

test('stops burning when the client leaves', async () => {
  const client = createHttpClient(open.url)
  const requests = Array.from({ length: availableParallelism() }, () =>
    get(new URL('/load/10000', open.url), { agent: false }).on('error', () => {}),
  )
  await clusterWhere(open, ({ instances }) => (instances[0]?.busy ?? 0) > requests.length)
  assert.is((await client.get('/load/1')).status, 429)
  for (const request of requests) request.destroy()
  while ((await client.get('/load/1')).status !== 200);
})

test.run()
