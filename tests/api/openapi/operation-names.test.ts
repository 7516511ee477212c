import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nameOperations } from '@millrace/api/openapi/name-operations.ts'
import { operations } from '@millrace/api/operations/operations.ts'
import fastify from 'fastify'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { suite } from '../../support/suite.ts'

const test = suite('operation names', { directory: '', routes: [] as Route[] })

test.before(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'millrace-console-'))
  await writeFile(join(context.directory, 'index.html'), '<!doctype html>')
  const environment = { CONSOLE_DIRECTORY: context.directory }
  const { started, routes } = await collectRoutes(() => startApiInstances({ environment }))
  await started.close()
  context.routes = routes
})
test.after(({ directory }) => rm(directory, { recursive: true }))

test('every route has an operation name in camel case', ({ routes }) => {
  assert.ok(routes.length > 60)
  assert.equal(
    routes.filter(({ operation = '' }) => !/^[a-z]+([A-Z][a-z]+)+$/.test(operation)),
    [],
  )
})

test('a route in the OpenAPI document has its operationId as operation name', ({ routes }) => {
  for (const { method, url, hidden, operation } of routes) {
    if (!hidden && method !== 'HEAD') assert.is(operation, operations[`${method} ${url}`]?.operationId, url)
  }
})

test('only routes of one purpose share an operation name', ({ routes }) => {
  const byName = Map.groupBy(routes, ({ operation = '' }) => operation)
  const shared = [...byName].flatMap(([name, sharing]) => {
    // A HEAD request is a GET request without the body.
    const distinct = new Set(sharing.map(({ method, url }) => `${method.replace('HEAD', 'GET')} ${url}`))
    return distinct.size > 1 ? [[name, [...distinct].sort()]] : []
  })
  assert.equal(Object.fromEntries(shared), {
    getOpenapiDocument: ['GET /docs/json', 'GET /docs/yaml', 'GET /openapi.json'],
    getDocsPage: ['GET /docs', 'GET /docs/static/index.html'],
    getDocsFile: [
      'GET /docs/static/*',
      'GET /docs/static/swagger-initializer.js',
      'GET /docs/static/theme/docs-page.css',
    ],
    putFile: ['PUT /upload', 'PUT /upload/*'],
  })
})

test('a route without an operation name is refused at registration', () => {
  const app = fastify()
  nameOperations(app)
  assert.throws(() => app.get('/new', async () => ''), /Route GET \/new needs one operation name/)
})

test('a route of two operations is refused at registration', () => {
  const app = fastify()
  nameOperations(app)
  const register = () => app.route({ method: ['GET', 'PUT'], url: '/session', handler: async () => '' })
  assert.throws(register, /Route GET,PUT \/session needs one operation name/)
})

test.run()
