import { randomUUID } from 'node:crypto'
import { createRateLeases } from '@millrace/api/limits/rate-leases.ts'
import { limitRates } from '@millrace/api/limits/rate-limits.ts'
import { Problem, registerErrorHandler } from '@millrace/api/requests/problem.ts'
import fc from 'fast-check'
import { fastify } from 'fastify'
import { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('windows of rate limits')
const problem = Compile(Problem)
/** More than any step of a test takes. */
const toleranceMs = 20_000
const windowMs = 60_000
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

/** An app whose requests come from the address in their header `from`, with the API key in their header `key`. */
async function start(limits: { perOwner?: number; perAddress?: number }) {
  const app = fastify({ trustProxy: true })
  registerErrorHandler(app)
  const { perOwner = 0, perAddress = 0 } = limits
  const { limitCallers } = await limitRates(app, { redis, prefix, timeoutMs: 20_000, perOwner, perAddress })
  limitCallers(app, ({ headers }) => (typeof headers['key'] === 'string' ? headers['key'] : undefined))
  app.get('/', async () => 'ok')
  app.get('/health', { config: { rateLimit: false } }, async () => 'ok')
  const send = async (from: string, options: { key?: string; url?: string } = {}) => {
    const headers = { 'x-forwarded-for': from, ...(options.key && { key: options.key }) }
    const response = await app.inject({ url: options.url ?? '/', headers })
    const retryAfter = response.headers['retry-after']
    return { status: response.statusCode, retryAfter: Number(retryAfter ?? 0), text: response.body }
  }
  return { send, close: () => app.close() }
}

for (const [name, limits, counter] of [
  ['an address', { perAddress: 1 }, 'address:192.0.2.1'],
  ['a caller', { perOwner: 1 }, 'owner:acme'],
] as const) {
  test(`the window of ${name} has a minute, begins with the first request, and Retry-After is its rest to the second`, async () => {
    const { send, close } = await start(limits)
    const key = `${prefix}:rate:${counter}`
    try {
      assert.is((await send('192.0.2.1', { key: 'acme' })).status, 200)
      const lifeMs = await redis.pttl(key)
      assert.ok(lifeMs <= windowMs && lifeMs > windowMs - toleranceMs, `${lifeMs} ms`)
      await redis.pexpire(key, 42_500)
      const startedAt = performance.now()
      const refused = await send('192.0.2.1', { key: 'acme' })
      const passedMs = performance.now() - startedAt
      assert.is(refused.status, 429)
      const { retryAfter } = refused
      assert.ok(retryAfter <= 43 && retryAfter >= Math.ceil((42_500 - passedMs) / 1000), `${retryAfter} s`)
      const { code, detail } = problem.Parse(JSON.parse(refused.text))
      assert.equal(
        [code, detail],
        ['rate_limited', `More than 1 requests per minute. Retry after ${retryAfter} s.`],
      )
      assert.ok((await redis.pttl(key)) <= 42_500, 'a refused request begins no window')
      assert.is((await send('192.0.2.1', { key: 'acme', url: '/health' })).status, 200)
    } finally {
      await close()
    }
  })
}

test('an IPv6 address counts to its /64, and to its /48 with eight times the limit', async () => {
  const { send, close } = await start({ perAddress: 2 })
  try {
    const statuses = async (addresses: string[]) => {
      const found: number[] = []
      for (const address of addresses) found.push((await send(address)).status)
      return found
    }
    assert.equal(
      await statuses(['2001:db8:1:1::1', '2001:db8:1:1:ffff::2', '2001:db8:1:1::3']),
      [200, 200, 429],
    )
    // The refused one counted to the site as well.
    const others = Array.from({ length: 14 }, (_, n) => `2001:db8:1:${n + 2}::1`)
    assert.equal(await statuses(others), [...Array(13).fill(200), 429])
    assert.equal(await statuses(['2001:db8:2:1::1']), [200])
    assert.is(await redis.exists(`${prefix}:rate:address:2001:db8:1:1::/64`), 1)
    assert.is(await redis.exists(`${prefix}:rate:address:2001:db8:1::/48`), 1)
  } finally {
    await close()
  }
})

/** Runs work with a clock that the test moves. */
async function withClock<T>(work: (clock: { now: number }) => Promise<T>): Promise<T> {
  const { now } = performance
  const clock = { now: 1_000_000 }
  performance.now = () => clock.now
  try {
    return await work(clock)
  } finally {
    performance.now = now
  }
}

function createStore() {
  const leases = createRateLeases({ redis, prefix: `${prefix}:`, windowMs })
  const store = new leases.Store({})
  const count = (max: number) =>
    new Promise<{ current: number; ttl: number }>((resolve, reject) => {
      store.incr(
        'a',
        (error, result) => (error ? reject(error) : resolve(result ?? { current: 0, ttl: 0 })),
        windowMs,
        max,
      )
    })
  return {
    take: () => leases.take('a'),
    isAllowed: async (max: number) => (await count(max)).current <= max,
    count,
  }
}

test('an exhausted limit refuses until the last ms of its window without Redis, and asks Redis from then on', async () => {
  await withClock(async (clock) => {
    const { isAllowed, count } = createStore()
    assert.ok(await isAllowed(1))
    await redis.pexpire(`${prefix}:a`, 30_000)
    const { current, ttl } = await count(1)
    assert.is(current, 2)
    const endsAt = clock.now + ttl
    // The window ends in Redis. This instance does not know that yet.
    await redis.del(`${prefix}:a`)
    clock.now = endsAt - 1
    assert.equal(await count(1), { current: 2, ttl: 1 })
    assert.is(await redis.exists(`${prefix}:a`), 0)
    clock.now = endsAt
    assert.ok(await isAllowed(1))
    assert.is(await redis.get(`${prefix}:a`), '1')
  })
})

test('leased requests of a window that has ended are not accepted in the next one', async () => {
  await withClock(async (clock) => {
    const { isAllowed, take } = createStore()
    const max = 1000
    const taken = async () => Number(await redis.get(`${prefix}:a`))
    for (const total of [1, 3, 3, 7]) {
      assert.ok(await isAllowed(max))
      assert.is(await taken(), total, 'each lease has twice as many as the one before')
    }
    assert.ok(take())
    clock.now += windowMs
    assert.not(take())
  })
})

test('requests that come at the same time share one lease, which has as many as they are', async () => {
  const { isAllowed } = createStore()
  const answers = await Promise.all(Array.from({ length: 50 }, () => isAllowed(1000)))
  assert.equal(answers, Array(50).fill(true))
  // One for the first, which came alone, and one lease for those that came while Redis answered.
  assert.is(await redis.get(`${prefix}:a`), '50')
})

test('property: two instances accept all requests up to the limit but those that one of them leased in vain, and never more', async () => {
  await checkProperty(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.nat(1), { maxLength: 40 }),
      async (max, turns) => {
        prefix = `test-${randomUUID()}`
        const instances = [createStore(), createStore()]
        let accepted = 0
        const ask = async (n: number, times: number) => {
          const instance = instances[n]
          if (!instance) return
          for (let i = 0; i < times; i++) {
            const isAccepted = instance.take() || (await instance.isAllowed(max))
            if (isAccepted) accepted += 1
          }
        }
        for (const n of turns) await ask(n, Math.ceil(max / 20))
        // Then both are asked until they refuse everything.
        for (let i = 0; i < max; i++) await ask(0, 1)
        const left = Math.ceil(max / 64)
        assert.ok(accepted <= max, `${accepted} of ${max}`)
        assert.ok(accepted >= max - left, `${accepted} of ${max}`)
      },
    ),
    { runs: 15 },
  )
})

test.run()
