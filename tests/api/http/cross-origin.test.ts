import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('cross-origin requests')
const reader = newApiKey('acme', ['uploads:read'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write', 'admin'])
/** Of the API's own site, http://localhost:3000. */
const sameSite = 'http://localhost:5173'
const otherSite = 'http://127.0.0.1:5173'
const wildcard = 'https://app.example.com'
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
let api: ApiInstances
let closed: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    environment: {
      ALLOWED_ORIGINS: `${sameSite},${otherSite},https://*.example.com`,
      API_KEYS: [reader, writer].map(({ entry }) => entry).join(','),
      OPEN_ADMIN: 'true',
      MAX_UPLOAD_BYTES: '1000',
    },
  })
  closed = await startApiInstances({ environment: { API_KEYS: writer.entry } })
})
test.after(async () => {
  await api.close()
  await closed.close()
})

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const preflight = (path: string, origin: string, method = 'POST', base = api.url) =>
  createHttpClient(base).request('OPTIONS', path, {
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type,idempotency-key',
    },
  })

/** Returns the CORS headers of a response, without their prefix and without the long lists. */
function cors(headers: Headers) {
  const names = ['allow-origin', 'allow-credentials', 'max-age']
  return names.flatMap((name) => headers.get(`access-control-${name}`) ?? [])
}

/** Returns the CORS headers of a raw response. */
const rawCors = (response: string) =>
  Array.from(
    response.matchAll(/^access-control-(?:allow-origin|allow-credentials): (.*)\r$/gim),
    ([, value]) => value,
  )

test('a preflight request is answered without credentials, and for all that pages send and read', async () => {
  for (const [path, method] of [
    ['/uploads', 'POST'],
    ['/uploads?limit=1', 'GET'],
    ['/uploads/0198c0de-0000-7000-8000-000000000000', 'DELETE'],
    ['/uploads/0198c0de-0000-7000-8000-000000000000/parts', 'POST'],
    ['/uploads/0198c0de-0000-7000-8000-000000000000/events', 'GET'],
    ['/upload?filename=a', 'POST'],
    ['/session', 'PUT'],
    ['/tus', 'POST'],
    ['/tus/0198c0de-0000-7000-8000-000000000000', 'PATCH'],
    ['/tus/0198c0de-0000-7000-8000-000000000000', 'HEAD'],
    ['/uppy/s3/multipart', 'POST'],
    ['/events', 'GET'],
    ['/openapi.json', 'GET'],
  ] as const) {
    const { status, headers, body } = await preflight(path, otherSite, method)
    assert.equal([status, body, cors(headers)], [204, '', [otherSite, '7200']], path)
    assert.match(headers.get('access-control-allow-methods') ?? '', new RegExp(`\\b${method}\\b`), path)
  }
  const { headers } = await preflight('/uploads', sameSite)
  assert.equal(cors(headers), [sameSite, 'true', '7200'])
  assert.match(headers.get('vary') ?? '', 'Origin')
  const allowed = (headers.get('access-control-allow-headers') ?? '').toLowerCase().split(', ')
  for (const name of [
    ...['authorization', 'content-type', 'content-disposition', 'idempotency-key', 'millrace-user', 'range'],
    ...[
      'last-event-id',
      'tus-resumable',
      'upload-length',
      'upload-offset',
      'upload-metadata',
      'upload-checksum',
    ],
    ...['x-http-method-override', 'x-requested-with', 'x-request-id', 'traceparent', 'uppy-versions'],
  ]) {
    assert.ok(allowed.includes(name), name)
  }
})

test('responses name the origin of the page, and its cookies only within the own site', async () => {
  for (const [origin, expected] of [
    [sameSite, [sameSite, 'true']],
    [otherSite, [otherSite]],
    [wildcard, [wildcard]],
  ] as const) {
    const { status, headers } = await createHttpClient(api.url).get('/uploads', { headers: { origin } })
    assert.equal([status, cors(headers)], [200, expected], origin)
    assert.match(headers.get('vary') ?? '', 'Origin')
    const exposed = headers.get('access-control-expose-headers') ?? ''
    for (const name of [
      'ETag',
      'Location',
      'Retry-After',
      'X-Request-Id',
      'Upload-Offset',
      'Tus-Max-Size',
      'WWW-Authenticate',
    ])
      assert.match(exposed, name)
  }
  // A cache must not give the response without an origin to a page that has one.
  const { headers } = await createHttpClient(api.url).get('/uploads')
  assert.equal([cors(headers), headers.get('vary')], [[], 'Origin'])
})

test('an origin that is not allowed gets no CORS headers, and nothing is allowed by default', async () => {
  for (const origin of [
    'null',
    '*',
    'https://evil.example',
    'https://evil.com#https://app.example.com',
    'https://app.example.com.evil.com',
    'https://APP.example.com',
    'https://app.example.com:443',
    'https://app.example.com.',
    'http://app.example.com',
    'http://localhost:5174',
    'http://localhost',
    'http://[::1]:5173',
    'http://localhost:5173 ,http://localhost:5173',
  ]) {
    const client = createHttpClient(api.url)
    const read = await client.get('/session', { headers: { origin } })
    assert.equal([read.status, cors(read.headers)], [200, []], origin)
    const asked = await preflight('/uploads', origin)
    assert.equal([asked.status, cors(asked.headers)], [404, []], origin)
    const written = await client.post('/uploads', announcement, { headers: { origin } })
    assert.equal([written.status, bodyOf(written, Problem).code], [403, 'cross_site'], origin)
    assert.equal(cors(written.headers), [], origin)
  }
  const asked = await preflight('/uploads', sameSite, 'POST', closed.url)
  assert.equal([asked.status, cors(asked.headers)], [404, []])
  const tus = await preflight('/tus', sameSite, 'POST', closed.url)
  assert.equal([tus.status, cors(tus.headers)], [204, []])
  const { headers } = await createHttpClient(closed.url).get('/uploads', { headers: { origin: sameSite } })
  assert.equal([cors(headers), headers.get('vary')], [[], null])
})

test('an allowed page of the own site writes with its cookie, one of another site only with a token', async () => {
  const client = createHttpClient(api.url)
  const fromSameSite = { headers: { origin: sameSite, 'sec-fetch-site': 'same-site' } }
  assert.is((await client.post('/uploads', announcement, fromSameSite)).status, 201)
  assert.is(
    (await client.get('/uppy/s3/params?filename=a&type=text/plain&metadata[size]=7', fromSameSite)).status,
    200,
  )
  assert.is((await client.request('DELETE', '/session', fromSameSite)).status, 204)

  await client.get('/session')
  for (const origin of [otherSite, wildcard]) {
    const headers = { origin, 'sec-fetch-site': 'cross-site' }
    for (const cookie of [client.cookie, undefined]) {
      const page = createHttpClient(api.url, cookie)
      const refused = await page.post('/uploads', announcement, { headers })
      const problem = bodyOf(refused, Problem)
      assert.equal([refused.status, problem.code, cors(refused.headers)], [403, 'cross_site', [origin]])
      assert.match(problem.detail, 'Authorization: Bearer')
      assert.equal(refused.headers.getSetCookie(), [])
    }
    const withKey = { headers: { ...headers, ...bearer(writer.key) } }
    assert.is((await createHttpClient(api.url).post('/uploads', announcement, withKey)).status, 201)
  }
  const unknown = await client.post('/uploads', announcement, { headers: { origin: 'https://evil.example' } })
  assert.match(bodyOf(unknown, Problem).detail, 'ALLOWED_ORIGINS')
  // A request of the own site without `Origin` is a form, an image or a link, which needs no permission to be sent.
  const image = await client.get('/uppy/s3/params?filename=a&type=text/plain&metadata[size]=7', {
    headers: { 'sec-fetch-site': 'same-site' },
  })
  assert.is(image.status, 403)
})

test('pages of other origins can neither call nor read what administers the service', async () => {
  for (const [path, method] of [
    ['/admin/cluster', 'GET'],
    ['/admin/cluster/events', 'HEAD'],
    ['/admin/dead-letters', 'GET'],
    ['/admin/queues', 'GET'],
    ['/load/1', 'GET'],
    ['/%6Coad/1', 'GET'],
  ] as const) {
    const asked = await preflight(path, sameSite, method)
    assert.equal([asked.status, cors(asked.headers)], [404, []], path)
    const headers = { origin: sameSite, 'sec-fetch-site': 'same-site' }
    const refused = await createHttpClient(api.url).request(method, path, { headers })
    assert.equal([refused.status, cors(refused.headers)], [403, []], path)
    const withKey = await createHttpClient(api.url).request(method, path, {
      headers: { ...headers, ...bearer(writer.key) },
    })
    assert.equal([withKey.status, cors(withKey.headers)], [200, []], path)
  }
})

test('pages of other origins can read errors of every kind', async () => {
  const headers = { origin: otherSite }
  const client = createHttpClient(api.url)
  const json = { ...headers, ...bearer(writer.key), 'content-type': 'application/json' }
  const tus = { ...headers, ...bearer(writer.key), 'tus-resumable': '1.0.0' }
  for (const [expected, response] of [
    [401, await client.get('/uploads', { headers: { ...headers, authorization: 'Bearer x' } })],
    [403, await client.post('/uploads', announcement, { headers: { ...headers, ...bearer(reader.key) } })],
    [404, await client.get('/uploads/0198c0de-0000-7000-8000-000000000000', { headers })],
    [404, await client.get('/nowhere', { headers })],
    [400, await client.get('/uploads?limit=x', { headers })],
    [400, await client.request('POST', '/uploads', { headers: json, body: '{' })],
    [
      413,
      await client.request('POST', '/uploads', { headers: json, body: JSON.stringify('x'.repeat(70_000)) }),
    ],
    [413, await client.post('/uploads', { ...announcement, size: 5000 }, { headers: json })],
    [
      415,
      await client.request('POST', '/uploads', { headers: { ...json, 'content-type': 'text/x' }, body: 'x' }),
    ],
    [412, await client.request('POST', '/tus', { headers: { ...tus, 'tus-resumable': '0.2' } })],
    [404, await client.request('HEAD', '/tus/0198c0de-0000-7000-8000-000000000000', { headers: tus })],
  ] as const) {
    assert.equal([response.status, cors(response.headers)], [expected, [otherSite]])
  }
})

test('pages of other origins can read refusals before and past the routes', async () => {
  const impatient = await startApiInstances({
    environment: { ALLOWED_ORIGINS: sameSite, SLOW_BODY_MS: '100', UPLOAD_IDLE_TIMEOUT_MS: '100' },
  })
  const ask = async (head: string[], body = '') => {
    const connection = await openConnection(Number(new URL(impatient.url).port))
    connection.send(`${[...head, `origin: ${sameSite}`, ''].join('\r\n')}\r\n${body}`)
    return await connection.closed
  }
  const unknownHost = await ask(['GET /uploads HTTP/1.1', 'host: evil.example', 'connection: close'])
  assert.match(unknownHost, /^HTTP\/1\.1 421 /)
  assert.equal(rawCors(unknownHost), [sameSite, 'true'])
  // These two problems are written to the socket, past Fastify.
  const post = (path: string, type: string) => [
    `POST ${path} HTTP/1.1`,
    'host: localhost',
    `content-type: ${type}`,
    'content-length: 100',
  ]
  for (const head of [post('/uploads', 'application/json'), post('/upload?filename=a.txt', 'text/plain')]) {
    const tooSlow = await ask(head, '{')
    assert.match(tooSlow, /^HTTP\/1\.1 408 /)
    assert.equal(rawCors(tooSlow), [sameSite, 'true'], head[0])
    assert.match(tooSlow, /^vary: Origin\r$/im)
  }
  await impatient.close()
})

test('preflight requests do not count to rate limits, and pages can read a refusal', async () => {
  const limited = await startApiInstances({
    environment: { ALLOWED_ORIGINS: otherSite, RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '2' },
  })
  const headers = { origin: otherSite }
  for (let sent = 0; sent < 5; sent += 1) {
    assert.is((await preflight('/uploads', otherSite, 'POST', limited.url)).status, 204)
  }
  const client = createHttpClient(limited.url)
  for (const expected of [200, 200, 429]) {
    const response = await client.get('/uploads', { headers })
    assert.equal([response.status, cors(response.headers)], [expected, [otherSite]])
  }
  assert.is((await preflight('/uploads', otherSite, 'POST', limited.url)).status, 204)
  await limited.close()
})

test('pages of the own site may show files, and nobody else', async () => {
  const policyOf = async ({ url }: ApiInstances) => {
    const client = createHttpClient(url)
    const { id } = await announce(client, 7)
    const paths = [`/uploads/${id}/original`, `/uploads/${id}/variants/thumbnail`, `/uploads/${id}`]
    const responses = await Promise.all(paths.map((path) => client.get(path)))
    return responses.map(({ headers }) => headers.get('cross-origin-resource-policy'))
  }
  assert.equal(await policyOf(api), ['same-site', 'same-site', 'same-origin'])
  assert.equal(await policyOf(closed), ['same-origin', 'same-origin', 'same-origin'])
})

test.run()
