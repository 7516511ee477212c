import { codesOutsideOperations, operations } from '@millrace/api/operations/operations.ts'
import { codesWithRetryAfter } from '@millrace/api/requests/problem.ts'
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
const withRetryAfter: ReadonlySet<string> = codesWithRetryAfter

/** Paths outside of the OpenAPI document: pages, and the document itself. */
const hiddenPaths = [
  /^\/openapi\.json$/,
  /^\/docs(\/|$)/,
  /^\/?\*$/,
  /^\/fleet$/,
  // Described as PUT /upload.
  /^\/upload\/\*$/,
  /^\/admin\/queues/,
]

let allRoutes: Route[]
let registeredRoutes: Route[]
let api: ApiInstances
let responseBody: unknown
let document: OpenApiDocument
let reader: ReturnType<typeof readDocument>

test.before(async () => {
  const { started, routes } = await collectRoutes(startApiInstances)
  api = started
  allRoutes = routes
  // Fastify adds a HEAD route for each GET route.
  const gets = new Set(routes.filter(({ method }) => method === 'GET').map(({ url }) => url))
  registeredRoutes = routes.filter(({ method, url }) => !(method === 'HEAD' && gets.has(url)))
  const response = await createHttpClient(api.url).get('/openapi.json')
  assert.is(response.status, 200)
  responseBody = response.body
  document = parseDocument(responseBody)
  reader = readDocument(document)
})
test.after(() => api.close())

test('the document is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(responseBody)))
  assert.ok(valid, JSON.stringify(errors))
})

test('the document has every registered route and no other', () => {
  const documented = reader.operations.map(
    ({ path, method }) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
  )
  const registered = registeredRoutes
    .filter(({ hidden }) => !hidden)
    .map(({ method, url }) => `${method} ${url}`)
  assert.equal(documented.toSorted(), registered.toSorted())
  assert.equal(Object.keys(operations).toSorted(), registered.toSorted())
})

test('every GET route answers HEAD, except the one that creates an upload', () => {
  const urls = (method: string) => allRoutes.filter((route) => route.method === method).map(({ url }) => url)
  const withHead = new Set(urls('HEAD'))
  assert.equal(
    urls('GET').filter((url) => !withHead.has(url)),
    ['/uppy/s3/params'],
  )
})

test('the document omits only pages', () => {
  const hidden = registeredRoutes.filter(({ hidden }) => hidden).map(({ url }) => url)
  assert.equal(
    hidden.filter((url) => !hiddenPaths.some((pattern) => pattern.test(url))),
    [],
  )
})

test('the firewall allows large bodies for the routes that accept them, and for no other', () => {
  const accepting = new Set(registeredRoutes.filter(acceptsLargeBody).map(({ url }) => url))
  for (const url of [
    '/upload',
    '/tus/:id',
    '/uploads',
    '/uploads/:id',
    '/uploads/delete',
    '/uploads/:id/complete',
  ])
    assert.ok(accepting.has(url), url)
  const isAllowed = (path: string) => new RegExp(largeBodies).test(path)
  for (const { url } of registeredRoutes) {
    const path = url.replaceAll(/:\w+/g, '0198').replace('*', 'some/file')
    assert.is(isAllowed(path), accepting.has(url), path)
    if (!path.endsWith('/')) assert.is(isAllowed(`${path}/`), accepting.has(url), `${path}/`)
  }
  for (const path of [
    '/tusk',
    '/uploadx',
    '/x/upload',
    '/uploads/a/b/complete',
    '/tus/a/b',
    '/uploads/a/parts',
  ]) {
    assert.not.ok(isAllowed(path), path)
  }
})

test('each operation has a unique id', () => {
  const ids = reader.operations.map(({ operation }) => operation.operationId)
  assert.equal(ids.length, new Set(ids).size)
})

test('every parameter, request body and response body has an example that matches its schema', () => {
  for (const { path, method, operation } of reader.operations) {
    const at = ['paths', path, method]
    for (const [index, { example }] of (operation.parameters ?? []).entries()) {
      reader.validate([...at, 'parameters', String(index), 'schema'], example)
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
        const present = values.filter((value) => value !== undefined)
        assert.ok(present.length > 0, `${at.join(' ')} has no example`)
        for (const value of present) reader.validate([...at, 'content', type, 'schema'], value)
      }
    }
  }
})

test('a parameter with a default is optional', () => {
  const parameters = reader.operations.flatMap(({ operation }) =>
    (operation.parameters ?? []).map((parameter) => ({ ...parameter, id: operation.operationId })),
  )
  const withDefault = parameters.filter(({ schema }) => schema.default !== undefined)
  assert.ok(withDefault.length > 3)
  assert.equal(
    withDefault.filter(({ required }) => required).map(({ id, name }) => `${id} ${name}`),
    [],
  )
})

test('Retry-After is documented for each status that can have it', () => {
  for (const { operation } of reader.operations) {
    for (const [status, { headers, content }] of Object.entries(operation.responses)) {
      const codes = Object.keys(content?.['application/problem+json']?.examples ?? {})
      const sent = status === '503' || codes.some((code) => withRetryAfter.has(code))
      // `GET /usage` answers 202 while it counts.
      if (codes.length > 0)
        assert.is(headers?.['retry-after'] !== undefined, sent, `${operation.operationId} ${status}`)
    }
  }
})

test('the examples of requests to webhooks match their schema, for each kind of outcome', () => {
  const at = ['webhooks', 'upload', 'post', 'requestBody', 'content', 'application/json']
  const { examples = {} } =
    document.webhooks['upload']?.['post']?.requestBody?.content['application/json'] ?? {}
  for (const { value } of Object.values(examples)) reader.validate([...at, 'schema'], value)
  assert.equal(Object.keys(examples), ['ready', 'rejected', 'deleted'])
  assert.ok(document.components.schemas['WebhookEvent'])
})

test('every response has a body in the document, except 204, 302 and those of tus', () => {
  const withoutBody = reader.operations.flatMap(({ path, method, operation }) =>
    Object.entries(operation.responses)
      .filter(([status, { content }]) => !content && !['204', '302'].includes(status))
      .filter(() => !path.startsWith('/tus'))
      .map(([status]) => `${method} ${path} ${status}`),
  )
  assert.equal(withoutBody, [])
})

test('every error code is listed either at an operation or outside of operations', () => {
  const listed = reader.operations.flatMap(({ operation }) =>
    Object.values(operation.responses).flatMap(({ content }) =>
      Object.keys(content?.['application/problem+json']?.examples ?? {}),
    ),
  )
  const codes = [...new Set(listed), ...Object.keys(codesOutsideOperations)]
  assert.equal(codes.toSorted(), Object.keys(errorCatalogue).toSorted())
})

test('operations refer to the security schemes of the document, and to all of them', () => {
  const schemes = Object.keys(document.components.securitySchemes)
  const used = reader.operations.flatMap(({ operation }) => operation.security.flatMap(Object.keys))
  assert.equal([...new Set(used)].toSorted(), schemes.toSorted())
})

test('the schemas that clients use have names', () => {
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

test('the documentation shows the curl command of each operation', async () => {
  const { body } = await createHttpClient(api.url).get('/docs/json')
  for (const { operation } of readDocument(parseDocument(body)).operations) {
    assert.ok(
      operation.description.endsWith(`\n\n\`\`\`sh\n${operation['x-codeSamples']?.[0]?.source}\n\`\`\``),
      operation.operationId,
    )
  }
})

test('/docs loads files from its own origin only', async () => {
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

/** Whether a route accepts bodies larger than WAF inspects: streamed files, or JSON whose schema allows it. */
function acceptsLargeBody({ method, url, readsJson, bodySchema }: Route): boolean {
  if (!['POST', 'PUT', 'PATCH'].includes(method)) return false
  if (!readsJson) return true
  assert.ok(Type.IsSchema(bodySchema), `${method} ${url} has no schema of its body`)
  return largestJsonBytes(bodySchema) > inspectedBodyBytes
}
