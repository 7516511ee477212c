import { mock } from 'node:test'
import { refuseWhenOverloaded } from '@millrace/api/limits/overload.ts'
import { registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('decisions on overload')
const noLimits = { eventLoopDelayMs: 0, heapUsedBytes: 0, rssBytes: 0 }
const hourUs = 3_600_000_000
const otherMemory = { heapTotal: Number.MAX_SAFE_INTEGER, external: 0, arrayBuffers: 0 }
/** What the process measures. CPU time: since the last measurement. */
let use = { heapUsed: 0, rss: 0, cpuUs: 0 }

test.before(() => {
  mock.method(process, 'memoryUsage', () => ({ ...otherMemory, rss: use.rss, heapUsed: use.heapUsed }))
  mock.method(process, 'threadCpuUsage', () => ({ user: 0, system: use.cpuUs }))
})
test.before.each(() => {
  use = { heapUsed: 0, rss: 0, cpuUs: 0 }
  mock.timers.enable({ apis: ['setInterval'] })
})
test.after.each(() => mock.timers.reset())
test.after(() => mock.restoreAll())

/** Starts an app with two routes. `statuses` sends a request to each, `measure` lets a second pass. */
async function start(limits: Partial<typeof noLimits>) {
  const lines: string[] = []
  const app = fastify({ logger: { stream: { write: (line) => void lines.push(line) }, level: 'info' } })
  registerErrorHandler(app)
  refuseWhenOverloaded(app, { ...noLimits, ...limits })
  app.get('/', async () => 'served')
  app.get('/health', { config: { servedWhenOverloaded: true } }, async () => 'served')
  await app.ready()
  const statuses = async () =>
    [await app.inject('/'), await app.inject('/health')].map(({ statusCode }) => statusCode)
  const events = () => lines.flatMap((line) => /"event":"([\w-]+)"/.exec(line)?.[1] ?? [])
  const measure = (next: Partial<typeof use>) => {
    use = { ...use, ...next }
    mock.timers.tick(1_000)
    return statuses()
  }
  return { app, events, statuses, measure }
}

for (const [name, limits, below, above] of [
  ['used heap', { heapUsedBytes: 100 }, { heapUsed: 100, rss: 1e12 }, { heapUsed: 101 }],
  ['resident memory', { rssBytes: 100 }, { rss: 100, heapUsed: 1e12 }, { rss: 101 }],
  ['CPU time of a turn of the event loop', { eventLoopDelayMs: 20 }, { rss: 1e12 }, { cpuUs: hourUs }],
] satisfies [string, object, Partial<typeof use>, Partial<typeof use>][]) {
  test(`only while the ${name} exceeds its limit, an instance refuses requests except for health, and logs the beginning and the end`, async () => {
    const { app, events, statuses, measure } = await start(limits)
    use = { ...use, ...above }
    assert.equal(await statuses(), [200, 200], 'before the first measurement')
    use = { ...use, cpuUs: 0 }
    assert.equal(await measure(below), [200, 200])
    assert.equal(events(), [])
    assert.equal(await measure(above), [503, 200])
    assert.equal(await measure(above), [503, 200])
    assert.equal(await measure({ ...below, cpuUs: 0 }), [200, 200])
    assert.equal(events(), ['overloaded', 'overload-ended'])
    await app.close()
  })
}

test('without limits, nothing is refused or measured', async () => {
  const { app, measure } = await start({})
  assert.equal(await measure({ heapUsed: 1e12, rss: 1e12, cpuUs: hourUs }), [200, 200])
  await app.close()
})

test.run()
