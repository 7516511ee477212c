import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { renderUserData } from '../../../stacks/user-data.ts'
import { createBootSandbox } from '../../stacks/boot-sandbox.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('liveness', {}, { limitMs: 60_000 })
/** Failures in a row until the service is restarted, and until the instance is replaced. */
const untilRestart = 6
const untilReplaced = 18
const restart = 'systemctl restart millrace'
const replace =
  'aws autoscaling set-instance-health --instance-id i-0abc --health-status Unhealthy --no-should-respect-grace-period'
let fleet: WorkerFleet
let proxy: S3Proxy
let directory: string
let redisServer: Awaited<ReturnType<typeof startRedisServer>>

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.after(async () => {
  await fleet.close()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

/** Starts a worker, and the instance that checks it: a sandbox after its boot. */
async function startInstance({ variables = {}, isStarted = true } = {}) {
  const environment = { HEALTH_PORT: '0', ...variables }
  const worker = isStarted ? await fleet.spawnWorker(environment) : fleet.startProcess(environment)
  const port = Number((await worker.log.until(({ event }) => event === 'health'))['port'])
  const instance = await createBootSandbox({ parameters: 'REDIS_URL\\tx\\n' })
  const script = renderUserData({
    tier: 'worker',
    image: 'registry.test/millrace/worker@sha256:0123',
    environment: {},
    port,
    logGroup: '/millrace/production/worker',
    launchHook: 'launch',
    stopSeconds: 110,
    memoryMiB: 1_024,
  })
  assert.is((await instance.run(script).exit).code, 0)
  await instance.forgetCalls()
  return {
    worker,
    logged: instance.logged,
    close: instance.close,
    get: async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status,
    /** Checks the worker some times, as the timer does. @returns the calls that change something */
    async check(times: number, variables: Record<string, string> = {}): Promise<string[]> {
      await instance.forgetCalls()
      const once = '/usr/local/sbin/millrace-instance check_liveness'
      await instance.run(`for ((count = 0; count < ${times}; count += 1)); do ${once}; done`, variables).exit
      return (await instance.calls()).filter((call) => /^(systemctl|aws autoscaling) /.test(call))
    },
  }
}

const impatient = { LIVE_SECONDS: '0.01' }

test('a worker whose event loop does not run is restarted, and its instance replaced if it stays so', async () => {
  const { worker, check, logged, close } = await startInstance()
  assert.equal(await check(2), [])
  worker.kill('SIGSTOP')
  assert.equal(await check(untilRestart - 1, impatient), [])
  worker.kill('SIGCONT')
  assert.equal(await check(1), [], 'only failures in a row count')
  worker.kill('SIGSTOP')
  assert.equal(await check(untilRestart - 1, impatient), [])
  assert.equal(await check(1, impatient), [restart])
  assert.equal(await logged(), [
    'The worker does not respond: it is restarted.',
    'docker: failed to initialize logging driver',
  ])
  assert.equal(await check(untilReplaced - untilRestart - 1, impatient), [])
  assert.equal(await check(1, impatient), [replace])
  assert.match((await logged())[0] ?? '', /the instance is replaced/)
  assert.equal(await check(6, impatient), [replace], 'the group may not have received the first call')
  worker.kill('SIGKILL')
  await worker.exit()
  await close()
})

test('a worker that drains is not restarted, and its instance not replaced after it has ended', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
  const { worker, check, close } = await startInstance({
    variables: { AWS_ENDPOINT_URL_S3: proxy.endpoint },
  })
  await fleet.arrive(Buffer.from('just text'))
  await held.arrived
  worker.kill('SIGTERM')
  await worker.log.until(({ event }) => event === 'closing')
  assert.equal(await check(untilRestart, { TARGET_STATE: 'Terminated' }), [])
  assert.equal(await check(untilRestart), [], 'it responds')
  held.release()
  assert.is(await worker.exit(), 0)
  assert.equal(await check(untilReplaced, { TARGET_STATE: 'Terminated' }), [])
  await close()
})

test('without Redis and S3, a worker is neither restarted nor replaced, whether it runs or starts', async () => {
  const running = await startInstance()
  await Promise.all([redisServer.close(), fleet.stopCloud()])
  const starting = await startInstance({ isStarted: false })
  await Promise.all(
    [running, starting].map(async ({ check }) => assert.equal(await check(untilReplaced), [])),
  )
  assert.equal([await running.get('/health'), await running.get('/live')], [200, 200])
  assert.equal([await starting.get('/health'), await starting.get('/live')], [503, 200])
  for (const { worker, close } of [running, starting]) {
    worker.kill('SIGKILL')
    await worker.exit()
    await close()
  }
})

test.run()
