import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('webhooks of worker processes', undefined, { limitMs: 60_000 })
const owner = 'acme'
/** A file without variants, which needs no decoder. */
const file = Buffer.from('just text')
let directory: string
let redisServer: RedisServer
let fleet: WorkerFleet
let receiver: Receiver
/** Requests that wait for their response. */
const held: (() => void)[] = []
let isHolding = false

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-webhooks-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({
    redisUrl: redisServer.url,
    environment: { DRAIN_DEADLINE_MS: '200', WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1/32' },
  })
  receiver = await startReceiver((_, response) => {
    const respond = () => void response.writeHead(204).end()
    if (isHolding) held.push(respond)
    else respond()
  })
  await createWebhookStore(fleet).create(webhookOf(owner, 'a', { url: receiver.url }))
})
test.after(async () => {
  await fleet.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
  await receiver.close()
})

/** Returns how many events are not delivered yet. */
async function undelivered(): Promise<number> {
  const { Contents = [] } = await fleet.s3.send(
    new ListObjectsV2Command({ Bucket: fleet.bucket, Prefix: `outbox/${tenantKey(owner)}/` }),
  )
  return Contents.length
}

test('events survive a worker that is killed while it sends, and a Redis that loses everything', async () => {
  isHolding = true
  const first = await fleet.spawnWorker()
  const { id } = await fleet.arrive(file, { owner })
  await receiver.received(1)
  assert.is(receiver.seen[0]?.content.type, 'upload.received')
  await fleet.finished({ owner, id })
  // The worker sends its first event at this moment, and waits with the second one.
  first.kill('SIGKILL')
  await first.exit()
  await fleet.redis.flushall()
  assert.is(await undelivered(), 2)
  isHolding = false
  const second = await fleet.spawnWorker()
  await second.log.until(({ event }) => event === 'outbox-relayed')
  await receiver.received(3)
  await second.log.until((line) => line['event'] === 'webhook-delivered' && line['attempt'] === 1)
  assert.equal(receiver.types(), ['received', 'received', 'ready'])
  assert.equal(new Set(receiver.seen.map(({ content }) => content.data.id)), new Set([id]))
  assert.is(receiver.seen[0]?.headers['webhook-id'], receiver.seen[1]?.headers['webhook-id'])

  // A worker that stops with a delivery under way hands it back at its deadline, and another worker sends it.
  isHolding = true
  const { id: next } = await fleet.arrive(file, { owner })
  await receiver.received(4)
  const third = await fleet.spawnWorker()
  isHolding = false
  second.kill('SIGTERM')
  assert.is(await second.exit(), 0)
  await receiver.received(6)
  assert.equal(
    receiver.seen.slice(3).map(({ content }) => [content.type, content.data.id]),
    [
      ['upload.received', next],
      ['upload.received', next],
      ['upload.ready', next],
    ],
  )
  await until(async () => (await undelivered()) <= 0)
  third.kill('SIGTERM')
  assert.is(await third.exit(), 0)
})

test.run()
