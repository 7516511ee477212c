import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** Paths of the page. It shows by itself that there is no page of a name. */
const pages = ['/', '/console/*']

/**
 * Serves the console's page and its files, as built by Vite. The page may load scripts from this origin only,
 * and connect to this origin and to the bucket only.
 *
 * @param options.directory absolute path of the built files
 * @param options.publicPath the path under which browsers reach the API; empty if it has an origin for itself
 * @param options.bucketOrigin the origin that uploads are sent to and variants are loaded from
 * @param options.cdnOrigin the origin that variants are loaded from, if it is not the bucket's
 */
export async function consoleRoutes(
  app: FastifyInstance,
  {
    directory,
    publicPath,
    bucketOrigin,
    cdnOrigin = bucketOrigin,
  }: { directory: string; publicPath: string; bucketOrigin: string; cdnOrigin?: string | undefined },
): Promise<void> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `img-src 'self' blob: data: ${allOf(bucketOrigin, cdnOrigin)}`,
    // Players follow the redirect of an original, which is always in the bucket.
    `media-src 'self' ${bucketOrigin}`,
    `connect-src 'self' ${bucketOrigin}`,
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
  /** Cache time of files whose name contains a hash of their content. */
  const hashedFileSeconds = 365 * 24 * 60 * 60

  // All addresses in the page and in its scripts are relative to this element.
  const html = await readFile(join(directory, 'index.html'), 'utf8')
  const page = html.replace('<head>', `<head><base href="${publicPath}/">`)
  for (const path of pages) {
    app.get(path, { schema: { hide: true } }, (_, reply) => {
      protectPage(reply).header('cache-control', 'no-cache').type('text/html; charset=utf-8').send(page)
    })
  }
  app.register(fastifyStatic, {
    root: directory,
    cacheControl: false,
    // The pages above.
    index: false,
    setHeaders(reply, path) {
      protectPage(reply)
      const isHashed = path.includes('/assets/')
      reply.header('cache-control', isHashed ? `public, max-age=${hashedFileSeconds}, immutable` : 'no-cache')
    },
  })

  function protectPage(reply: Pick<FastifyReply, 'header'>) {
    return reply.header('x-content-type-options', 'nosniff').header('content-security-policy', policy)
  }
}

/** Returns each of the origins once. */
function allOf(...origins: string[]): string {
  return [...new Set(origins)].join(' ')
}
