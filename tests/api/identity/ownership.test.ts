import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, tusOffset } from '../../support/tus-client.ts'

const test = suite('ownership')
const MiB = 1024 ** 2
let routes: Route[]
let api: ApiInstances

test.before(async () => {
  ;({ started: api, routes } = await collectRoutes(startApiInstances))
})
test.after(() => api.close())

/** Routes whose parameter is not an upload id (files of a page, a duration, a token, a receipt). Any other route must check the owner. */
const ownerless = new Set([
  '/docs/static/*',
  '/load/:ms',
  '/admin/queues/*',
  '/tokens/:id',
  '/erasures/:id',
  // The name of a new file.
  '/upload/*',
  '*',
  '/*',
])

/** Scopes of routes that belong to a tenant, not to an owner: only its keys may use them. */
const tenantScopes = new Set(['tenant', 'tokens'])

/** Returns a request that is valid for the route, so that it can only be refused because of its owner. */
function requestFor(method: string, url: string, id: string) {
  const path = url
    .replace(':id', id)
    .replace(':name', 'w320')
    .replace('/*', `/${id}`)
    .replace(':partNumber', '1')
  const headers = { 'tus-resumable': '1.0.0', 'upload-offset': '0', 'x-http-method-override': 'DELETE' }
  if (method === 'PATCH' && url === '/uploads/:id') return { path, options: { json: { filename: 'a.jpg' } } }
  if (method === 'PATCH') {
    return {
      path,
      options: { body: 'x', headers: { ...headers, 'content-type': 'application/offset+octet-stream' } },
    }
  }
  if (method !== 'POST' && method !== 'PUT') return { path, options: { headers } }
  const bodies: Record<string, unknown> = {
    '/uploads/:id/parts': { partNumbers: [1] },
    '/uploads/:id/complete': { parts: [{ partNumber: 1, etag: 'x' }] },
    '/uppy/s3/multipart/:id/complete': { parts: [{ PartNumber: 1, ETag: 'x' }] },
  }
  return { path, options: { json: bodies[url] ?? {}, headers } }
}

test('every route with an upload id responds with 404 to other owners and to anonymous requests', async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const form = await announce(client, 7)
  await sendForm(formOf(form), new Uint8Array(7))
  const multipart = await announce(client, 20 * MiB)
  multipartOf(multipart)
  const tusPath = await createTus(client, 7)
  const ids = [form.id, multipart.id, tusPath.slice('/tus/'.length)]
  const uploadRoutes = routes.filter(
    ({ method, url, scope = '' }) =>
      /[:*]/.test(url) && !ownerless.has(url) && !tenantScopes.has(scope) && method !== 'OPTIONS',
  )
  const tusMethods = uploadRoutes.flatMap(({ method, url }) => (url === '/tus/:id' ? [method] : []))
  assert.equal(tusMethods.toSorted(), ['DELETE', 'HEAD', 'PATCH', 'POST'])
  assert.ok(uploadRoutes.length >= 13, `only ${uploadRoutes.length} routes were found`)
  for (const { method, url } of uploadRoutes) {
    for (const id of ids) {
      const { path, options } = requestFor(method, url, id)
      const response = await stranger.request(method, path, options)
      assert.is(response.status, 404, `${method} ${url} sent ${response.status} to another owner`)
      const anonymous = await createHttpClient(api.url).request(method, path, options)
      assert.is(anonymous.status, 404, `${method} ${url} sent ${anonymous.status} to an anonymous request`)
    }
  }
  for (const id of ids) assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.is(await tusOffset(client, tusPath), 0)
})

test("an upload is not in another owner's list", async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const { id } = await announce(client, 7)
  const lists = routes.filter(({ method, url }) => method === 'GET' && ['/uploads'].includes(url))
  assert.is(lists.length, 1)
  assert.not.match(JSON.stringify((await stranger.get('/uploads')).body), new RegExp(id))
})

test.run()
