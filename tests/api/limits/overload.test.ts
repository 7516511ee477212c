import { setImmediate as nextTurn } from 'node:timers/promises'
import { Problem } from '@millrace/api/http/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('overload')
let api: ApiInstances | undefined

test.after.each(async () => {
  await api?.close()
  api = undefined
})

for (const [limit, environment] of [
  ['resident memory', { MAX_RSS_BYTES: '1' }],
  ['used heap', { MAX_HEAP_USED_BYTES: '1' }],
  ['event loop delay', { MAX_EVENT_LOOP_DELAY_MS: '20' }],
] satisfies [string, Record<string, string>][]) {
  test(`an instance above the limit of ${limit} refuses requests, except /health`, async () => {
    api = await startApiInstances({ environment })
    const client = createHttpClient(api.url)
    const { app } = api
    while (!app.isUnderPressure()) {
      const blockedUntil = performance.now() + 100
      while (performance.now() < blockedUntil);
      await nextTurn()
    }
    const refused = await client.get('/uploads')
    assert.is(refused.status, 503)
    assert.match(refused.headers.get('content-type') ?? '', 'application/problem+json')
    assert.is(bodyOf(refused, Problem).code, 'overloaded')
    assert.is(refused.headers.get('retry-after'), '5')
    assert.is((await client.get('/nowhere')).status, 503)
    assert.is((await client.get('/health')).status, 200)
  })
}

test('overload limits of 0 are disabled', async () => {
  const noLimits = { MAX_RSS_BYTES: '0', MAX_HEAP_USED_BYTES: '0', MAX_EVENT_LOOP_DELAY_MS: '0' }
  api = await startApiInstances({ environment: noLimits })
  assert.is((await createHttpClient(api.url).get('/uploads')).status, 200)
})

test.run()
