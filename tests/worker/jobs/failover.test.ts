import * as assert from 'uvu/assert'
import { type RedisPair, startRedisPair } from '../../support/redis-pair.ts'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('failover under a worker', {}, { limitMs: 60_000 })
let pair: RedisPair
let fleet: WorkerFleet

test.before(async () => {
  pair = await startRedisPair()
  // The test reads the second server: it gets what the first one publishes, too.
  fleet = await startWorkerFleet({ redisUrl: pair.replicaUrl })
})
test.after(async () => {
  await fleet.close()
  await pair.close()
})

test('a worker that keeps its connections to a demoted primary works on with the new one', async () => {
  const image = await sampleImage('image/png')
  const worker = await fleet.spawnWorker({ REDIS_URL: pair.url })
  const before = await fleet.arrive(image)
  assert.is((await fleet.finished(before)).state, 'ready')
  await pair.failOver()
  const { id } = await fleet.arrive(image)
  const { event } = await worker.log.until(
    (line) =>
      line['event'] === 'arrival-failed' || (line['event'] === 'processed' && line['uploadId'] === id),
  )
  // The event of an arrival that the old primary refused comes again after its visibility timeout, a minute.
  const after = event === 'arrival-failed' ? await fleet.arrive(image) : { owner: 's-tester', id }
  assert.is((await fleet.finished(after)).state, 'ready')
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 0)
})

test.run()
