import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { metricFamilies } from '@millrace/shared/metrics/metric-families.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { parsePrometheusText, sumOf } from '../../support/prometheus-text.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('metrics of the API')
const admin = newApiKey('ops', ['admin'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: {
      API_KEYS: [admin, writer].map(({ entry }) => entry).join(','),
      QUOTA_FILES_TOTAL: '1',
    },
  })
})
test.after(() => api.close())

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })

async function read(url = api.url) {
  const response = await createHttpClient(url).get('/metrics', bearer(admin.key))
  assert.is(response.status, 200)
  assert.is(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  assert.is(response.headers.get('cache-control'), 'no-store')
  return parsePrometheusText(String(response.body))
}

const requests = 'millrace_http_requests_total'
const problems = 'millrace_http_problems_total'

test('/metrics requires the scope admin', async () => {
  const client = createHttpClient(api.url)
  const codeOf = async (options?: ReturnType<typeof bearer>) =>
    bodyOf(await client.get('/metrics', options), Problem).code
  assert.is(await codeOf(), 'unauthenticated')
  assert.is(await codeOf(bearer(writer.key)), 'forbidden')
})

test('requests are counted by operation, method and class of status, on the instance that answered', async () => {
  const [, other = ''] = api.urls
  const client = createHttpClient(other)
  const photo = {
    body: new Uint8Array(1000),
    headers: { ...bearer(writer.key).headers, 'content-type': 'image/png' },
  }
  assert.is((await client.request('POST', '/upload?filename=a.png', photo)).status, 201)
  // The quota is one file.
  const refused = await client.request('POST', '/upload?filename=b.png', photo)
  assert.is(bodyOf(refused, Problem).code, 'quota_exceeded')
  await client.request('HEAD', '/uploads', bearer(writer.key))

  const families = await read(other)
  const count = (operation: string, method: string, status: string) =>
    sumOf(families, requests, { operation, method, status })
  assert.equal(
    [count('sendFile', 'POST', '2xx'), count('sendFile', 'POST', '4xx'), count('listUploads', 'HEAD', '2xx')],
    [1, 1, 1],
  )
  const durations = 'millrace_http_request_duration_seconds'
  assert.is(sumOf(families, `${durations}_count`, { operation: 'sendFile' }), 2)
  assert.ok(sumOf(families, `${durations}_sum`, { operation: 'sendFile' }) > 0)
  assert.is(sumOf(families, problems, { code: 'quota_exceeded' }), 1)
  assert.is(sumOf(await read(), problems, { code: 'quota_exceeded' }), 0)
  // Of the reading itself.
  assert.is(sumOf(families, requests, { operation: 'getMetrics' }), 0)
})

test('odd requests add no series of their own', async () => {
  const client = createHttpClient(api.url)
  for (const path of ['/nowhere', '/nowhere/1', '/uploads/x/y/z', '/__proto__', '/metrics/x', '/%C3%BC']) {
    assert.is((await client.get(path)).status, 404, path)
  }
  for (const method of ['PROPFIND', 'REPORT']) await client.request(method, '/uploads')
  const connection = await openConnection(Number(new URL(api.url).port))
  connection.send('GET /%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  assert.match(await connection.closed, 'HTTP/1.1 400')
  const families = await read()
  const unknown = families.get(requests)?.samples.filter(({ labels }) => labels['operation'] === 'noRoute')
  assert.equal(unknown?.map(({ labels, value }) => [labels['method'], labels['status'], value]).sort(), [
    ['GET', '4xx', 6],
    ['other', '4xx', 2],
  ])
  assert.is(sumOf(families, problems, { code: 'not_found' }), 8)
  assert.is(sumOf(families, problems, { code: 'invalid_request' }), 1)
  for (const [name, family] of Object.entries(metricFamilies)) {
    for (const { labels } of families.get(name)?.samples ?? []) {
      const names = Object.keys(labels).filter((label) => label !== 'le')
      assert.equal(names, [...family.labels], name)
    }
  }
})

test('a client that disconnects before the response is counted without a status', async () => {
  const active = 'millrace_http_requests_active'
  const before = sumOf(await read(), requests, { status: 'none' })
  const closing = new AbortController()
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(10)),
  })
  const sent = fetch(new URL('/upload?filename=c.png', api.url), {
    method: 'POST',
    body,
    duplex: 'half',
    signal: closing.signal,
    headers: { 'content-type': 'image/png' },
  }).catch(() => undefined)
  await until(async () => sumOf(await read(), active) !== 0)
  closing.abort()
  await sent
  await until(async () => sumOf(await read(), requests, { status: 'none' }) === before + 1)
  assert.is(sumOf(await read(), active), 0)
})

test('the queue of the fleet shows what its publisher sampled', async () => {
  const at = new Date().toISOString()
  const counts = { waiting: 4, prioritized: 0, active: 2, notRelayed: 1, slots: 2, oldestJobAgeMs: 2500 }
  const sample = { at, load: 3.5, ...counts }
  await api.redis.set(`${api.prefix}:{fleet}:sample`, JSON.stringify(sample), 'PX', 10_000)
  for (const url of api.urls) {
    const families = await read(url)
    assert.is(sumOf(families, 'millrace_queue_jobs', { state: 'waiting' }), 4)
    assert.is(sumOf(families, 'millrace_queue_oldest_job_age_seconds'), 2.5)
  }
})

test.run()
