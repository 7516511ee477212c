import { randomUUID } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { createClusterView } from '@millrace/api/fleet/cluster-view.ts'
import { createFleet } from '@millrace/api/fleet/fleet.ts'
import { trackRequests } from '@millrace/api/fleet/track-requests.ts'
import type { RequestEnd } from '@millrace/api/metrics/metrics.ts'
import { createFleetHistory } from '@millrace/shared/fleet/fleet-history.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats, fleetKey, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { createInstanceEvents } from '@millrace/shared/fleet/instance-events.ts'
import { countOf } from '@millrace/shared/fleet/latency-histogram.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { fastify } from 'fastify'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('what an instance reports')
const startedAt = new Date(0).toISOString()
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null })
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

test('responses from 500 on are failures, event streams have no duration, and health checks do not count', async () => {
  const app = fastify()
  // Its clock stands still, so a count per second is one of the first second.
  const activity = createRecentActivity(() => 0)
  const seen: RequestEnd[] = []
  trackRequests(app, activity, (request) => seen.push(request))
  app.get('/status/:code', async ({ url }, reply) => reply.code(Number(url.slice(-3))).send('text'))
  app.get('/stream', async (_request, reply) => reply.type('text/event-stream').send('data: 1\n\n'))
  app.get('/health', { config: { untracked: true } }, async () => ({ active: activity.active() }))
  for (const url of ['/status/200', '/status/404', '/status/499', '/status/500', '/status/503', '/stream']) {
    await app.inject(url)
  }
  assert.equal((await app.inject('/health')).json(), { active: 0 })
  await app.close()
  assert.equal(
    seen.map(({ status, ms }) => [status, ms]),
    [...[200, 404, 499, 500, 503].map((status) => [status, 0]), [200, undefined]],
  )
  assert.is(activity.errorsPerMinute(), 2 * 60)
  assert.is(activity.perSecond(), 5)
  assert.is(countOf(activity.latency()), 5)
})

test('an instance that closes is draining first, and afterwards no instance any more', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  // Another instance publishes the queue's load.
  await redis.set(fleetKey(prefix, 'publisher'), 'another', 'PX', 60_000)
  const queue = createUploadQueue({ redis, prefix })
  const s3 = new S3Client({ region: 'local' })
  const sqs = new SQSClient({ region: 'local' })
  const app = fastify()
  const seen: string[][] = []
  const note = async () => {
    seen.push((await heartbeats.list()).map(({ id, state }) => `${id} ${state}`))
  }
  // The first one of these hooks runs last.
  app.addHook('onClose', note)
  createFleet({
    ...{ redis, prefix, s3, sqs, queue, bucket: 'none', version: '1' },
    log: createLog({ level: 'silent', instance: 'test' }),
    config: { eventsQueueUrl: 'http://127.0.0.1:9/', instance: 'api-1', publishPeriodMs: 60_000 },
    putFleetMetrics: undefined,
    draining: new AbortController().signal,
    closing: new AbortController().signal,
    observeRequest: () => undefined,
  }).report(app)
  app.addHook('preClose', note)
  await app.listen({ host: '127.0.0.1', port: 0 })
  await app.close()
  assert.equal(seen, [['api-1 draining'], []])
  await queue.close()
  s3.destroy()
  sqs.destroy()
})

test('slots and CPU of a tier are those of serving instances; what runs is that of draining ones as well', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  const instance: Heartbeat = {
    ...{ id: 'worker-1', tier: 'worker', state: 'serving', since: startedAt, version: '1', cpuPercent: 10 },
    ...{ rssBytes: 1, slots: 4, busy: 1, perSecond: 2, errorsPerMinute: 3, latency: [] },
  }
  await heartbeats.publish(instance)
  await heartbeats.publish({ ...instance, id: 'worker-2', cpuPercent: 30, slots: 2 })
  await heartbeats.publish({ ...instance, id: 'worker-3', state: 'draining', cpuPercent: 90 })
  await heartbeats.publish({ ...instance, id: 'api-1', tier: 'api', slots: 0 })
  const viewCluster = createClusterView({
    heartbeats,
    journal: createFleetJournal({ redis, prefix }),
    history: createFleetHistory({ redis, prefix }),
    instanceEvents: createInstanceEvents({ redis, prefix, heartbeats }),
  })
  const { tiers } = await viewCluster()
  const common = { lost: 0, latencyMs: null }
  assert.equal(tiers, [
    {
      ...{ tier: 'api', instances: 1, serving: 1, cpuPercent: 10, slots: 0 },
      ...{ busy: 1, perSecond: 2, errorsPerMinute: 3, ...common },
    },
    {
      ...{ tier: 'worker', instances: 3, serving: 2, cpuPercent: 20, slots: 6 },
      ...{ busy: 3, perSecond: 6, errorsPerMinute: 9, ...common },
    },
  ])
})

test.run()
