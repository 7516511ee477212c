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

/** Routes whose parameter is no upload (files of a page, a duration). A route that is not here must know its owner. */
const ownerless = new Set(['/docs/static/*', '/load/:ms', '*', '/*'])

/** A request that is in shape for the route, so that nothing but ownership can refuse it. */
function requestFor(method: string, url: string, id: string) {
  const path = url
    .replace(':id', id)
    .replace(':name', 'w320')
    .replace('/*', `/${id}`)
    .replace(':partNumber', '1')
  const headers = { 'tus-resumable': '1.0.0', 'upload-offset': '0', 'x-http-method-override': 'DELETE' }
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

test('is asked for by every route about one upload, found among the routes themselves', async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const sent = await announce(client, 7)
  await sendForm(formOf(sent), new Uint8Array(7))
  const inParts = await announce(client, 20 * MiB)
  multipartOf(inParts)
  const byTus = await createTus(client, 7)
  const ids = [sent.id, inParts.id, byTus.slice('/tus/'.length)]
  const aboutOne = routes.filter(
    ({ method, url }) => /[:*]/.test(url) && !ownerless.has(url) && method !== 'OPTIONS',
  )
  const tusMethods = aboutOne.flatMap(({ method, url }) => (url === '/tus/:id' ? [method] : []))
  assert.equal(tusMethods.toSorted(), ['DELETE', 'HEAD', 'PATCH', 'POST'])
  assert.ok(aboutOne.length >= 13, `only ${aboutOne.length} routes were found`)
  for (const { method, url } of aboutOne) {
    for (const id of ids) {
      const { path, options } = requestFor(method, url, id)
      const answer = await stranger.request(method, path, options)
      assert.is(answer.status, 404, `${method} ${url} answered ${answer.status} to a stranger`)
      const nobody = await createHttpClient(api.url).request(method, path, options)
      assert.is(nobody.status, 404, `${method} ${url} answered ${nobody.status} to nobody`)
    }
  }
  for (const id of ids) assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.is(await tusOffset(client, byTus), 0)
})

test('shows up in no list of somebody else', async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const { id } = await announce(client, 7)
  const lists = routes.filter(({ method, url }) => method === 'GET' && ['/uploads'].includes(url))
  assert.is(lists.length, 1)
  assert.not.match(JSON.stringify((await stranger.get('/uploads')).body), new RegExp(id))
})

test.run()
