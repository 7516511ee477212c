import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Serves the API under a path of another site, such as `/media`, behind a reverse proxy. Proxies that remove the path from
 * requests and proxies that keep it both work: routes are registered without it, and a request that has it loses it here.
 *
 * @param publicPath begins with a slash and does not end with one; empty if the API has an origin of its own
 */
export function createPublicPath(publicPath: string) {
  /** What paths of the API begin with. `assets` are the console's, which has one route for all its files. */
  const ownSegments = new Set(['assets'])
  const [, firstSegment = ''] = publicPath.split('/')

  return {
    /**
     * Returns the URL of a request without the public path: the option `rewriteUrl` of Fastify. If the API has paths that begin
     * like the public path, such as `/uploads`, it may have been removed already, and nobody can tell. Then it stays.
     */
    removeFrom({ url = '/' }: Pick<IncomingMessage, 'url'>): string {
      if (publicPath === '' || !url.startsWith(publicPath) || ownSegments.has(firstSegment)) return url
      const rest = url.slice(publicPath.length)
      if (rest.startsWith('/')) return rest
      return rest === '' || rest.startsWith('?') ? `/${rest}` : url
    },

    /** Adds the public path to the `Location` of all responses of an app, if that is a path. Call it before routes are added. */
    addToLocations(app: FastifyInstance): void {
      if (publicPath === '') return
      app.addHook('onRoute', ({ url }) => {
        ownSegments.add(url.split('/')[1] ?? '')
      })
      app.addHook('onSend', (_request, reply, _payload, done) => {
        const location = reply.getHeader('location')
        if (typeof location === 'string' && /^\/(?!\/)/.test(location)) {
          reply.header('location', `${publicPath}${location}`)
        }
        done()
      })
    },
  }
}
