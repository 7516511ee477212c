import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { completeDocument, documentFrame, securitySchemes } from './document.ts'
import { nameOperations } from './name-operations.ts'

/** The page loads nothing from elsewhere, and speaks to this origin alone. Swagger UI sets styles itself. */
const pagePolicy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
}

/**
 * `/openapi.json`: the routes of this app in OpenAPI 3.1, and `/docs`: a page that shows them. The document is
 * built when it is first asked for. Must be registered before the routes: it names each one that follows, and
 * collects it.
 *
 * @param options.cookieName as the session's cookie is called here
 */
export async function openapiRoutes(
  app: FastifyInstance,
  { version, cookieName }: { version: string; cookieName: string },
): Promise<void> {
  nameOperations(app)
  await app.register(swagger, {
    openapi: { ...documentFrame(version), components: { securitySchemes: securitySchemes(cookieName) } },
    transformObject(collected) {
      if (!('openapiObject' in collected)) throw new Error('The document is not of OpenAPI 3.')
      const { openapiObject } = collected
      const { paths, schemas } = completeDocument(JSON.parse(JSON.stringify(openapiObject.paths)))
      return Object.assign({}, openapiObject, {
        paths,
        components: { ...openapiObject.components, schemas },
      })
    },
  })
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    reply.header('cache-control', 'no-cache')
    return app.swagger()
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: pagePolicy,
    theme: { title: 'Millrace API' },
    // Our own document's address is /openapi.json; the page has the same under /docs/json.
    uiConfig: { deepLinking: true, displayRequestDuration: true, tryItOutEnabled: false },
  })
}
