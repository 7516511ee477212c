import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createBearerClient } from '../../support/bearer-client.ts'
import { parseDocument, readDocument } from '../../support/documented-responses.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('unknown query parameters')
const id = '0198c0de-0000-7000-8000-000000000000'
const tenant = newApiKey('acme', ['uploads:read', 'uploads:write', 'tokens', 'tenant'])
let api: ApiInstances

test.before(async () => {
  const environment = { RATE_LIMIT_PER_MINUTE: '100000', OPEN_ADMIN: 'true', API_KEYS: tenant.entry }
  api = await startApiInstances({ environment })
})
test.after(() => api.close())

test('every operation of the OpenAPI document refuses a query parameter that it does not have', async () => {
  const client = createHttpClient(api.url)
  const ofTenant = createBearerClient(api.url, tenant.key)
  const { body } = await client.get('/openapi.json')
  const { operations } = readDocument(parseDocument(body))
  assert.ok(operations.length > 20)
  for (const { path, method, operation } of operations) {
    // Its query is a file as Uppy describes it, with fields that pages add.
    if (path === '/uppy/s3/params') continue
    const concrete = path.replace('{id}', id).replaceAll(/\{\w+\}/g, '1')
    // A body is checked before the query.
    const { example, examples = {} } = operation.requestBody?.content['application/json'] ?? {}
    const json = example ?? Object.values(examples)[0]?.value
    const ask = (by: HttpClient) => by.request(method.toUpperCase(), `${concrete}?_=123`, { json })
    const asBrowser = await ask(client)
    // Operations of tenants refuse a browser before they read the query.
    const response = asBrowser.status === 401 ? await ask(ofTenant) : asBrowser
    const at = `${method} ${path}: ${JSON.stringify(response.body)}`
    assert.is(response.status, 400, at)
    if (method === 'head') continue
    const { code, errors = [] } = bodyOf(response, Problem)
    assert.is(code, 'invalid_request', at)
    assert.ok(
      errors.some(({ field }) => field === '_'),
      at,
    )
  }
})

for (const [method, path] of [
  ['GET', `/uppy/s3/multipart/${id}`],
  ['POST', '/tus'],
  ['OPTIONS', '/tus'],
  ['PATCH', `/tus/${id}`],
] as const) {
  test(`${method} ${path.replace(id, ':id')} refuses a query parameter that it does not have`, async () => {
    const headers = { 'tus-resumable': '1.0.0' }
    const response = await fetch(`${api.url}${path}?_=123`, { method, headers })
    assert.is(response.status, 400)
    assert.match(await response.text(), '_ is not a field of this request')
  })
}

test('HEAD refuses what GET refuses', async () => {
  assert.is((await fetch(`${api.url}/uploads?_=1`, { method: 'HEAD' })).status, 400)
  assert.is((await fetch(`${api.url}/uploads`, { method: 'HEAD' })).status, 200)
})

test('Uppy may send the key of the object, which is not read', async () => {
  const response = await fetch(`${api.url}/uppy/s3/multipart/${id}?key=originals%2Fx`)
  assert.is(response.status, 404)
})

test('pages accept any query parameter', async () => {
  assert.is((await fetch(`${api.url}/docs?utm_source=mail`)).status, 200)
  assert.is((await fetch(`${api.url}/openapi.json?_=123`)).status, 200)
})

test('an invalid parameter and an unknown one are both named', async () => {
  const { errors = [] } = bodyOf(await createHttpClient(api.url).get('/uploads?limit=0&cursr=x'), Problem)
  assert.equal(errors.map(({ field }) => field).toSorted(), ['cursr', 'limit'])
})
test.run()
