import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

/** Paths that the page handles itself, in addition to the root. */
const pages = ['/fleet']

/**
 * Serves the console's page and its files, as built by Vite. The page may load scripts from this origin only,
 * and connect to this origin and to the bucket only.
 *
 * @param options.directory absolute path of the built files
 * @param options.bucketOrigin the origin that uploads are sent to and variants are loaded from
 * @param options.cdnOrigin the origin that variants are loaded from, if it is not the bucket's
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
  /** Cache time of files whose name contains a hash of their content. */
  const hashedFileSeconds = 365 * 24 * 60 * 60

  for (const path of pages) {
    app.get(path, { schema: { hide: true } }, (_, reply) => reply.sendFile('index.html'))
  }
  app.register(fastifyStatic, {
    root: directory,
    cacheControl: false,
    setHeaders(reply, path) {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('content-security-policy', policy)
      const isHashed = path.includes('/assets/')
      reply.header('cache-control', isHashed ? `public, max-age=${hashedFileSeconds}, immutable` : 'no-cache')
    },
  })
}
