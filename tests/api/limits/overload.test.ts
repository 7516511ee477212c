import { setTimeout as delay } from 'node:timers/promises'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { startApiProcess } from '../../support/api-process.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('overload', {}, { limitMs: 60_000 })
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { OPEN_ADMIN: 'true' } })
})
test.after(() => api.close())

/** Uses CPU time in each turn of the event loop, in ms. @returns a function that stops it */
function blockEventLoop(cpuMs: number): () => void {
  let isStopped = false
  const block = () => {
    const before = process.threadCpuUsage()
    const usedMs = ({ user, system }: NodeJS.CpuUsage) => (user + system) / 1000
    while (usedMs(process.threadCpuUsage(before)) < cpuMs);
    if (!isStopped) setImmediate(block)
  }
  block()
  return () => {
    isStopped = true
  }
}

for (const [limit, environment] of [
  ['resident memory', { MAX_RSS_BYTES: '1' }],
  ['used heap', { MAX_HEAP_USED_BYTES: '1' }],
  ['event loop delay', { MAX_EVENT_LOOP_DELAY_MS: '20' }],
] satisfies [string, Record<string, string>][]) {
  test(`while an instance exceeds the limit of ${limit}, it refuses requests, except /health, /ready and /metrics`, async () => {
    const instance = await api.startInstance(environment)
    const client = createHttpClient(instance.url)
    const unblock = limit === 'event loop delay' ? blockEventLoop(30) : () => undefined
    let refused = await client.get('/uploads')
    await until(async () => {
      refused = await client.get('/uploads')
      return refused.status !== 200
    })
    assert.is(refused.status, 503)
    assert.match(refused.headers.get('content-type') ?? '', 'application/problem+json')
    assert.is(bodyOf(refused, Problem).code, 'overloaded')
    assert.is(refused.headers.get('retry-after'), '5')
    assert.is((await client.get('/nowhere')).status, 503)
    assert.is((await client.get('/health')).status, 200)
    assert.is((await client.get('/ready')).status, 200)
    assert.is((await client.get('/metrics')).status, 200)
    unblock()
    if (limit === 'event loop delay') await until(async () => (await client.get('/uploads')).status === 200)
  })
}

test('an instance that gets little CPU time from a busy machine refuses nothing', async () => {
  const environment = { ...api.environment, LOG_LEVEL: 'info', MAX_EVENT_LOOP_DELAY_MS: '100' }
  const instance = await startApiProcess(environment)
  const client = createHttpClient(instance.url)
  const statuses: number[] = []
  for (let round = 0; round < 20; round++) {
    // As a scheduler does that has other processes to run. The event loop is late by these 300 ms.
    instance.suspend()
    await delay(300)
    instance.resume()
    for (const path of ['/uploads', '/ready']) statuses.push((await client.get(path)).status)
  }
  // The first rounds may compile code for long.
  assert.equal(
    statuses.slice(10).filter((status) => status !== 200),
    [],
  )
  assert.is(await instance.stop(), 0)
})

test.run()
