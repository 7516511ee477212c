import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

/** What the page itself tells apart, besides the address of its directory. */
const pages = ['/fleet']

/**
 * The console's page and its files, as Vite built them. The page may load scripts from here alone, and
 * speaks to this origin and to the bucket only.
 *
 * @param options.directory absolute path
 * @param options.bucketOrigin where uploads go and variants come from
 * @param options.cdnOrigin where variants come from instead
 */
export function consoleRoutes(
  app: FastifyInstance,
  {
    directory,
    bucketOrigin,
    cdnOrigin = bucketOrigin,
  }: { directory: string; bucketOrigin: string; cdnOrigin?: string | undefined },
): void {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `img-src 'self' blob: data: ${cdnOrigin}`,
    `connect-src 'self' ${bucketOrigin}`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
  const hashedForeverSeconds = 365 * 24 * 60 * 60

  for (const path of pages) {
    app.get(path, { schema: { hide: true } }, (_, reply) => reply.sendFile('index.html'))
  }
  app.register(fastifyStatic, {
    root: directory,
    cacheControl: false,
    setHeaders(reply, path) {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('content-security-policy', policy)
      const hashed = path.includes('/assets/')
      reply.header(
        'cache-control',
        hashed ? `public, max-age=${hashedForeverSeconds}, immutable` : 'no-cache',
      )
    },
  })
}
