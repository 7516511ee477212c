import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { docsPagePlugin } from './docs-page-plugin.ts'
import { completeDocument, documentFrame, securitySchemes } from './document.ts'
import { nameOperations } from './name-operations.ts'

const pageStyle = readFileSync(new URL('docs-page.css', import.meta.url), 'utf8')

/** The page loads from this origin and connects to this origin only. Swagger UI needs inline styles. */
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
 * Adds `/openapi.json`, the routes of this app in OpenAPI 3.1, and `/docs`, a page that shows them. The document is built on
 * the first request for it. Must be registered before the routes: it names and collects each route that is added later.
 *
 * @param options.cookieName the name of the session cookie
 * @param options.publicPath the path under which clients reach the API; empty if it has an origin for itself
 * @param options.hasConsole whether the page links to the console
 */
export async function openapiRoutes(
  app: FastifyInstance,
  {
    version,
    cookieName,
    publicPath,
    hasConsole,
  }: { version: string; cookieName: string; publicPath: string; hasConsole: boolean },
): Promise<void> {
  nameOperations(app)
  await app.register(swagger, {
    openapi: {
      ...documentFrame({ version, publicPath }),
      components: { securitySchemes: securitySchemes(cookieName) },
    },
    transformObject(collected) {
      if (!('openapiObject' in collected)) throw new Error('The document is not an OpenAPI 3 document.')
      const { openapiObject } = collected
      const { paths, webhooks, ...components } = completeDocument(
        JSON.parse(JSON.stringify(openapiObject.paths)),
      )
      return Object.assign({}, openapiObject, {
        paths,
        webhooks,
        components: { ...openapiObject.components, ...components },
      })
    },
  })
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    reply.header('cache-control', 'no-cache')
    return app.swagger()
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // The page shows no `x-codeSamples`.
    transformSpecification: (document) => showCodeSamples(document),
    // What the page's own links begin with.
    indexPrefix: publicPath,
    staticCSP: pagePolicy,
    theme: { title: 'Millrace API', css: [{ filename: 'docs-page.css', content: pageStyle }] },
    // The page reads the same document from /docs/json.
    uiConfig: {
      deepLinking: true,
      displayRequestDuration: true,
      tryItOutEnabled: false,
      plugins: [docsPagePlugin],
      ...(hasConsole && { consolePath: `${publicPath}/` }),
    },
  })
}

/** Adds the curl command of each operation to its description. @param document a copy */
function showCodeSamples(document: Readonly<Record<string, unknown>>) {
  for (const methods of Object.values(document['paths'] ?? {})) {
    for (const operation of Object.values<{ description: string; 'x-codeSamples'?: { source: string }[] }>(
      methods,
    )) {
      const [sample] = operation['x-codeSamples'] ?? []
      if (sample) operation.description += `\n\n\`\`\`sh\n${sample.source}\n\`\`\``
    }
  }
  return document
}
