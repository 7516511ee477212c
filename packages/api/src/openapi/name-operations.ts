import type { FastifyInstance } from 'fastify'
import { operations } from '../operations/operations.ts'

/** Operations that the OpenAPI document leaves out: pages, and the document itself. */
const hiddenOperations: Record<string, string> = {
  'GET /openapi.json': 'getOpenapiDocument',
  'GET /docs/json': 'getOpenapiDocument',
  'GET /docs/yaml': 'getOpenapiDocument',
  'GET /docs': 'getDocsPage',
  'GET /docs/static/index.html': 'getDocsPage',
  'GET /docs/static/swagger-initializer.js': 'getDocsFile',
  'GET /docs/static/theme/docs-page.css': 'getDocsFile',
  'GET /docs/static/*': 'getDocsFile',
  'GET /': 'getUploadsPage',
  'GET /console/*': 'getConsolePage',
  'GET /*': 'getConsoleFile',
  'GET /admin/queues': 'getQueuesPage',
  'GET /admin/queues/*': 'getQueuesFile',
  'PUT /admin/queues/*': 'changeQueues',
  // Described as `PUT /upload`, since a name may have more characters than OpenAPI's parameters here.
  'PUT /upload/*': 'putFile',
}

/** Operations that no upload is behind, that never end, or that are polled: their requests are not traced. */
const untracedOperations: ReadonlySet<string> = new Set([
  ...Object.values(hiddenOperations).filter((name) => name !== 'putFile'),
  'preflight',
  'getHealth',
  'getReadiness',
  'getCluster',
  'watchCluster',
  'watchUpload',
  'watchUploads',
])

/**
 * Gives each route that is registered from now on its operation name: the `operationId` of the OpenAPI document, or
 * the name from the list above. The request log writes it on each line. A HEAD route has the name of its GET route, and
 * other OPTIONS routes than those of tus answer preflight requests.
 *
 * @throws Error at registration if a route has no name
 */
export function nameOperations(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const names = [route.method].flat().map((method) => nameOf(method, route.url))
    const [operation] = names
    if (operation === undefined || names.some((name) => name !== operation)) {
      throw new Error(
        `Route ${route.method} ${route.url} needs one operation name: see openapi/name-operations.ts.`,
      )
    }
    // A new object, because several routes may share one `config`.
    route.config = { ...route.config, operation, otel: !untracedOperations.has(operation) }
  })
}

function nameOf(method: string, url: string): string | undefined {
  const name = (route: string) => operations[route]?.operationId ?? hiddenOperations[route]
  const own = name(`${method} ${url}`)
  if (own !== undefined) return own
  if (method === 'HEAD') return name(`GET ${url}`)
  return method === 'OPTIONS' ? 'preflight' : undefined
}
