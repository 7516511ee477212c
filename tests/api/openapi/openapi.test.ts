import { codesOutsideOperations, operations } from '@millrace/api/openapi/operations.ts'
import { errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { Validator } from '@seriousme/openapi-schema-validator'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { inspectedBodyBytes, largeBodies } from '../../../stacks/large-bodies.ts'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { type OpenApiDocument, parseDocument, readDocument } from '../../support/documented-responses.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { largestJsonBytes } from '../../support/largest-json.ts'
import { suite } from '../../support/suite.ts'

const test = suite('OpenAPI document')

/** Routes that other documents describe, or that are pages. */
const hiddenForms = [
  /^\/openapi\.json$/,
  /^\/docs(\/|$)/,
  /^\/?\*$/,
  /^\/tus(\/|$)/,
  /^\/uppy\//,
  /^\/fleet$/,
  /^\/admin\/queues/,
]

let registered: Route[]
let api: ApiInstances
let plain: unknown
let document: OpenApiDocument
let known: ReturnType<typeof readDocument>

test.before(async () => {
  const { started, routes } = await collectRoutes(startApiInstances)
  api = started
  // Fastify itself adds HEAD beside each GET.
  registered = routes.filter(({ method }) => method !== 'HEAD')
  const answer = await createHttpClient(api.url).get('/openapi.json')
  assert.is(answer.status, 200)
  plain = answer.body
  document = parseDocument(plain)
  known = readDocument(document)
})
test.after(() => api.close())

test('is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(plain)))
  assert.ok(valid, JSON.stringify(errors))
})

test('has every route that was registered, and no other', () => {
  const described = known.operations.map(
    ({ path, method }) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
  )
  const shown = registered.filter(({ hidden }) => !hidden).map(({ method, url }) => `${method} ${url}`)
  assert.equal(described.toSorted(), shown.toSorted())
  assert.equal(Object.keys(operations).toSorted(), shown.toSorted())
})

test('leaves out only what is described elsewhere', () => {
  const hidden = registered.filter(({ hidden }) => hidden).map(({ url }) => url)
  assert.equal(
    hidden.filter((url) => !hiddenForms.some((form) => form.test(url))),
    [],
  )
})

test('the firewall lets large bodies through to the routes that take them, and to no other', () => {
  const taking = new Set(registered.filter(takesLargeBody).map(({ url }) => url))
  for (const url of ['/upload', '/tus/:id', '/uploads', '/uploads/:id/complete'])
    assert.ok(taking.has(url), url)
  const letsThrough = (path: string) => new RegExp(largeBodies).test(path)
  for (const { url } of registered) {
    const path = url.replaceAll(/:\w+/g, '0198').replace('*', 'some/file')
    assert.is(letsThrough(path), taking.has(url), path)
    if (!path.endsWith('/')) assert.is(letsThrough(`${path}/`), taking.has(url), `${path}/`)
  }
  for (const path of [
    '/tusk',
    '/upload/x',
    '/x/upload',
    '/uploads/a/b/complete',
    '/tus/a/b',
    '/uploads/complete',
  ]) {
    assert.not.ok(letsThrough(path), path)
  }
})

test('gives each operation an id of its own', () => {
  const ids = known.operations.map(({ operation }) => operation.operationId)
  assert.equal(ids.length, new Set(ids).size)
})

test('has an example of every parameter, request and answer, each valid by its schema', () => {
  for (const { path, method, operation } of known.operations) {
    const at = ['paths', path, method]
    for (const [index, { example }] of (operation.parameters ?? []).entries()) {
      known.validate([...at, 'parameters', String(index), 'schema'], example)
    }
    const bodies = [
      { at: [...at, 'requestBody'], content: operation.requestBody?.content },
      ...Object.entries(operation.responses).map(([status, { content }]) => ({
        at: [...at, 'responses', status],
        content,
      })),
    ]
    for (const { at, content = {} } of bodies) {
      for (const [type, { example, examples = {} }] of Object.entries(content)) {
        const values = [example, ...Object.values(examples).map(({ value }) => value)]
        const given = values.filter((value) => value !== undefined)
        assert.ok(given.length > 0, `${at.join(' ')} has no example`)
        for (const value of given) known.validate([...at, 'content', type, 'schema'], value)
      }
    }
  }
})

test('describes the body of every answer that its route has a schema for', () => {
  const bodiless = known.operations.flatMap(({ path, method, operation }) =>
    Object.entries(operation.responses)
      .filter(([status, { content }]) => !content && status !== '204' && status !== '302')
      .map(([status]) => `${method} ${path} ${status}`),
  )
  assert.equal(bodiless, [])
})

test('lists every error code, at an operation or elsewhere but not both', () => {
  const listed = known.operations.flatMap(({ operation }) =>
    Object.values(operation.responses).flatMap(({ content }) =>
      Object.keys(content?.['application/problem+json']?.examples ?? {}),
    ),
  )
  const codes = [...new Set(listed), ...Object.keys(codesOutsideOperations)]
  assert.equal(codes.toSorted(), Object.keys(errorCatalogue).toSorted())
})

test('refers to security schemes that it has', () => {
  const schemes = Object.keys(document.components.securitySchemes)
  const used = known.operations.flatMap(({ operation }) => operation.security.flatMap(Object.keys))
  assert.equal([...new Set(used)].toSorted(), schemes.toSorted())
})

test('names the schemas that clients deal with', () => {
  const names = [
    'Announcement',
    'AnnouncedUpload',
    'FormTransport',
    'MultipartTransport',
    'Problem',
    'Session',
    'Upload',
  ]
  for (const name of names) assert.ok(document.components.schemas[name], name)
})

test('is shown on a page that loads nothing from elsewhere', async () => {
  const client = createHttpClient(api.url)
  const page = await client.get('/docs')
  assert.is(page.status, 200)
  assert.match(page.headers.get('content-security-policy') ?? '', "default-src 'none'")
  const addresses = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map(
    ([, address = '']) => address,
  )
  assert.ok(addresses.length > 3)
  for (const address of addresses) {
    assert.match(address, /^(\.|\/docs)\//)
    assert.is((await client.get(new URL(address, `${api.url}/docs`).pathname)).status, 200, address)
  }
})

test.run()

/** Whether a route takes more than WAF reads: files as they come, or JSON whose schema allows for it. */
function takesLargeBody({ method, url, readsJson, bodySchema }: Route): boolean {
  if (!['POST', 'PUT', 'PATCH'].includes(method)) return false
  if (!readsJson) return true
  assert.ok(Type.IsSchema(bodySchema), `${method} ${url} says nothing of its body`)
  return largestJsonBytes(bodySchema) > inspectedBodyBytes
}
