import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '@millrace/api/config.ts'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { limitRates } from '@millrace/api/limits/rate-limits.ts'
import { Problem, registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { startTcpProxy } from '../../support/tcp-proxy.ts'

const test = suite('rate limits')
let api: ApiInstances | undefined

test.after.each(async () => {
  await api?.close()
  api = undefined
})

const minimal = {
  PUBLIC_ORIGIN: 'http://localhost',
  REDIS_URL: 'redis://localhost',
  BUCKET: 'bucket',
  EVENTS_QUEUE_URL: 'http://localhost/queue',
  SESSION_KEYS: Buffer.alloc(32).toString('base64'),
}

async function start(environment: Record<string, string>, redisUrl?: string) {
  api = await startApiInstances({ count: 2, environment, ...(redisUrl !== undefined && { redisUrl }) })
  return api
}

async function statuses(count: number, send: (index: number) => Promise<HttpResponse>) {
  const responses: HttpResponse[] = []
  for (let index = 0; index < count; index++) responses.push(await send(index))
  return responses.map(({ status }) => status)
}

test('the rate limit of an address holds over all instances, and the 429 response has Retry-After', async () => {
  const { urls } = await start({ RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '6' })
  const paths = ['/uploads', '/session', '/nowhere']
  const send = (index: number) => createHttpClient(urls[index % 2] ?? '').get(paths[index % 3] ?? '')
  assert.equal(await statuses(6, send), [200, 200, 404, 200, 200, 404])
  const refused = await send(0)
  assert.is(refused.status, 429)
  assert.match(refused.headers.get('content-type') ?? '', 'application/problem+json')
  assert.is(bodyOf(refused, Problem).code, 'rate_limited')
  const wait = Number(refused.headers.get('retry-after'))
  // rate-windows.test.ts pins it to the second.
  assert.ok(wait > 30 && wait <= 60, `${wait} s`)
  assert.is(refused.headers.get('x-content-type-options'), 'nosniff')
  assert.ok(refused.headers.get('x-request-id'))
  assert.equal(await statuses(2, () => createHttpClient(urls[1] ?? '').get('/health')), [200, 200])
  assert.is((await createHttpClient(urls[1] ?? '').get('/ready')).status, 200)
})

test('instances with leases accept at most the rate limit, and at most a few requests less', async () => {
  const limit = 500
  const { urls } = await start({ RATE_LIMIT_PER_ADDRESS_PER_MINUTE: String(limit) })
  const send = async (index: number) => (await fetch(`${urls[index % 2]}/nowhere`)).status
  const responses: number[] = []
  for (let sent = 0; sent < limit + 100; sent += 50) {
    responses.push(...(await Promise.all(Array.from({ length: 50 }, (_, index) => send(sent + index)))))
  }
  const accepted = responses.filter((status) => status === 404).length
  assert.is(responses.filter((status) => status === 429).length, responses.length - accepted)
  // Each instance may leave unused a 64th of what remained when it leased.
  assert.ok(accepted <= limit && accepted >= limit - 2 * Math.ceil(limit / 64), `${accepted} of ${limit}`)
})

test('each session has its own rate limit, over all instances', async () => {
  const { url, urls } = await start({ RATE_LIMIT_PER_MINUTE: '3' })
  const first = createHttpClient(url)
  const second = createHttpClient(url)
  await first.get('/session')
  await second.get('/session')
  const send = (index: number) => first.get('/session', { base: urls[index % 2] ?? '' })
  assert.equal(await statuses(5, send), [200, 200, 200, 429, 429])
  assert.is((await second.get('/session')).status, 200)
})

const ownerCounters = async ({ redis, prefix }: ApiInstances) => redis.keys(`${prefix}:rate:owner:*`)

test('each API key has its own rate limit, however its header is written, and Redis stores no key', async () => {
  const [first, second] = [newApiKey('acme', ['uploads:read']), newApiKey('acme', ['uploads:read'])]
  const API_KEYS = `${first.entry},${second.entry}`
  const instances = await start({ RATE_LIMIT_PER_MINUTE: '3', API_KEYS })
  const headers = ['Bearer ', 'Bearer   ', 'bearer ', 'BEARER  ']
  const send = (key: string) => (index: number) => {
    const authorization = `${headers[index % 4]}${key}${' '.repeat(index)}`
    return createHttpClient(instances.urls[index % 2] ?? '').get('/uploads', { headers: { authorization } })
  }
  assert.equal(await statuses(5, send(first.key)), [200, 200, 200, 429, 429])
  assert.equal(await statuses(1, send(second.key)), [200])
  const counters = await ownerCounters(instances)
  assert.is(counters.length, 2)
  assert.not.match(counters.join(), first.key)
})

test('a session has one rate limit, whatever other cookies its requests have', async () => {
  const instances = await start({ RATE_LIMIT_PER_MINUTE: '6' })
  const client = createHttpClient(instances.url)
  await client.get('/session')
  const { cookie = '' } = client
  const cookies = [
    cookie,
    `__Host-millrace=decoy; ${cookie}`,
    `millrace2=decoy; ${cookie}; __Host-millrace=decoy`,
    `${cookie}; millrace=decoy`,
    cookie.replace(/=(.*)/, '="$1"'),
    `a=b;${cookie}`,
  ]
  const send = (index: number) =>
    createHttpClient(instances.urls[index % 2] ?? '', cookies[index % cookies.length]).get('/uploads')
  assert.equal(await statuses(8, send), [200, 200, 200, 200, 200, 200, 429, 429])
  assert.is((await ownerCounters(instances)).length, 1)
})

test('invalid credentials have no rate limit of their own, and count to their address', async () => {
  const instances = await start({ RATE_LIMIT_PER_MINUTE: '100', RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '8' })
  const invalid = [
    { authorization: 'Bearer some-key-that-is-unknown' },
    { authorization: 'Basic abc' },
    { cookie: 'millrace=invented' },
    { cookie: `millrace=${'A'.repeat(300)}%3B${'A'.repeat(32)}` },
  ]
  const send = (index: number) =>
    createHttpClient(instances.url).get('/uploads', { headers: { ...invalid[index % 4] } })
  assert.equal(await statuses(10, send), [401, 401, 200, 200, 401, 401, 200, 200, 429, 429])
  assert.equal(await ownerCounters(instances), [])
  const refused = await createHttpClient(instances.url).post('/uploads', {})
  assert.equal([refused.status, refused.headers.getSetCookie()], [429, []])
})

test('a request whose client has disconnected is counted, although it has no address any more', async () => {
  const { redis, prefix } = await start({})
  const app = fastify()
  registerErrorHandler(app)
  app.addHook('onRequest', (request, _reply, done) => {
    Object.defineProperty(request.raw.socket, 'remoteAddress', { value: undefined })
    done()
  })
  await limitRates(app, { redis, prefix, timeoutMs: 20_000, perOwner: 0, perAddress: 1 })
  app.get('/', async () => 'ok')
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  try {
    assert.equal([(await fetch(url)).status, (await fetch(url)).status], [200, 429])
  } finally {
    await app.close()
  }
})

test('X-Forwarded-For is ignored, unless a trusted proxy sends it', async () => {
  const sendTo = (url: string) => (index: number) =>
    createHttpClient(url).get('/nowhere', { headers: { 'x-forwarded-for': `203.0.113.${index}` } })
  const withoutProxies = await start({ RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '3' })
  assert.equal(await statuses(4, sendTo(withoutProxies.url)), [404, 404, 404, 429])
  await withoutProxies.close()
  const { url } = await start({ RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '3', TRUSTED_PROXIES: '127.0.0.0/8, ::1' })
  assert.equal(await statuses(5, sendTo(url)), [404, 404, 404, 404, 404])
  // The proxy appends the address that it saw. The client may have invented the addresses before it.
  const spoof = (index: number) =>
    createHttpClient(url).get('/nowhere', {
      headers: { 'x-forwarded-for': `198.51.100.${index}, 203.0.113.9` },
    })
  assert.equal(await statuses(4, spoof), [404, 404, 404, 429])
})

test('TRUSTED_PROXIES is empty by default and accepts only addresses and networks', () => {
  assert.equal(readConfig(minimal).trustedProxies, [])
  const read = (text: string) => readConfig({ ...minimal, TRUSTED_PROXIES: text }).trustedProxies
  assert.equal(read(' 10.0.0.0/8, 192.0.2.1 ,fd00::/8,'), ['10.0.0.0/8', '192.0.2.1', 'fd00::/8'])
  for (const text of [
    'true',
    '*',
    '10.0.0.0/33',
    '10.0.0/8',
    'loopback',
    'fd00::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
  ]) {
    assert.throws(() => read(text), /TRUSTED_PROXIES/)
  }
})

test('a page that sends and watches 100 files needs less than half of the default rate limits', async () => {
  const { rateLimitPerMinute, rateLimitPerAddressPerMinute } = readConfig(minimal)
  // Announced, ten parts signed in two batches, completed, watched, four variants and the original opened.
  const requests = 100 * (1 + 2 + 1 + 2 + 5)
  assert.ok(rateLimitPerMinute > 2 * requests)
  assert.ok(rateLimitPerAddressPerMinute > rateLimitPerMinute)
})

test('without Redis the rate limits neither refuse nor delay requests', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const server = await startRedisServer({ directory, program: await provideProgram(redisProgram, () => {}) })
  const { url } = await start(
    { RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '3', RATE_LIMIT_TIMEOUT_MS: '100' },
    server.url,
  )
  await server.close()
  const startedAt = performance.now()
  assert.equal(await statuses(20, () => createHttpClient(url).get('/nowhere')), Array(20).fill(404))
  const eachMs = (performance.now() - startedAt) / 20
  assert.ok(eachMs < 100, `${eachMs} ms`)
  await rm(directory, { recursive: true })
})

test('an instance counts from its first request: it starts once its connection to Redis is open', async () => {
  const { redis, prefix } = await start({})
  const app = fastify()
  registerErrorHandler(app)
  await limitRates(app, { redis, prefix, timeoutMs: 20_000, perOwner: 0, perAddress: 1 })
  app.get('/', async () => 'ok')
  try {
    const responses = await Promise.all([app.inject('/'), app.inject('/')])
    assert.equal(
      responses.map(({ statusCode }) => statusCode),
      [200, 429],
    )
  } finally {
    await app.close()
  }
})

test('an instance starts although Redis refuses connections, or says nothing', async () => {
  const proxy = await startTcpProxy(Number(new URL(process.env['REDIS_URL'] ?? '').port))
  for (const fail of [proxy.silence, proxy.close]) {
    const redis = connectRedis(proxy.url, createLog({ level: 'silent', instance: 'test' }))
    await redis.ping()
    const app = fastify()
    fail()
    proxy.silenceNext(1)
    await limitRates(app, { redis, prefix: 'p', timeoutMs: 100, perOwner: 0, perAddress: 1 })
    app.get('/', async () => 'ok')
    assert.is((await app.inject('/')).statusCode, 200)
    await app.close()
    redis.disconnect()
  }
})

test('a request whose client is already gone is counted without an error', async () => {
  const { redis, prefix } = await start({})
  const app = fastify()
  app.addHook('onRequest', async ({ raw }) => void raw.socket.destroy())
  await limitRates(app, { redis, prefix, timeoutMs: 20_000, perOwner: 10, perAddress: 10 })
  const handled = Promise.withResolvers<string>()
  app.get('/', async () => handled.resolve('handled'))
  app.setErrorHandler((error) => handled.resolve(String(error)))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await fetch(url).catch(() => undefined)
  assert.is(await handled.promise, 'handled')
  await app.close()
})

test.run()
