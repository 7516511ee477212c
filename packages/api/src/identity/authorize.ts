import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiKey, ApiKeys, Scope } from './api-keys.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key that the request came with; null where it came with none. */
    apiKey: ApiKey | null
  }
  interface FastifyContextConfig {
    /** What a key needs for this route; without it, reading or writing uploads, by the method. */
    scope?: Scope
  }
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Lets in, before anything of a request is looked at, who comes with a valid key of the right scope, and who
 * comes with a cookie or with nothing, unless a page of somebody else's makes the browser send it.
 *
 * Refused with an AppError: `unauthenticated`, `forbidden`, `cross_site`.
 *
 * @param scope the routes that know owners
 * @param options.publicOrigin what browsers have in their address bar
 * @param options.openAdmin lets in who comes without a key where a key would need the scope `admin`
 */
export function authorize(
  scope: FastifyInstance,
  options: { apiKeys: ApiKeys; publicOrigin: string; openAdmin: boolean },
): void {
  const { apiKeys, publicOrigin, openAdmin } = options
  scope.decorateRequest('apiKey', null)
  scope.addHook('onRequest', (request, _reply, done) => {
    done(refusal(request))
  })

  function refusal(request: FastifyRequest): AppError | undefined {
    const needed = request.routeOptions.config.scope ?? defaultScope(request.method)
    const { authorization } = request.headers
    if (authorization !== undefined) {
      const key = apiKeys.find(bearerToken(authorization))
      if (!key) return new AppError('unauthenticated')
      if (!key.scopes.has(needed)) {
        return new AppError('forbidden', { message: `This needs a key of the scope ${needed}.` })
      }
      request.apiKey = key
      return undefined
    }
    if (needed === 'admin' && !openAdmin) return new AppError('unauthenticated')
    // A GET may write, too, where a foreign protocol has it so; and what admins may do is never harmless.
    const writes = !safeMethods.has(request.method) || needed === 'uploads:write' || needed === 'admin'
    return writes && isCrossSite(request, publicOrigin) ? new AppError('cross_site') : undefined
  }
}

function defaultScope(method: string): Scope {
  return safeMethods.has(method) ? 'uploads:read' : 'uploads:write'
}

/** RFC 6750, 2.1. Whatever is not a bearer token is the token of nobody. */
function bearerToken(authorization: string): string {
  return /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(authorization)?.[1] ?? ''
}

/**
 * Whether a page of another origin makes the browser send this. Browsers say so themselves, in
 * `Sec-Fetch-Site` (Fetch Metadata) and in `Origin`, which pages cannot change; who sends neither is no
 * browser, and nobody's cookie is sent without their knowing.
 */
function isCrossSite({ headers }: FastifyRequest, publicOrigin: string): boolean {
  const { origin } = headers
  if (origin !== undefined) {
    const isOwn = origin === publicOrigin || URL.parse(origin)?.host === headers.host
    return !isOwn
  }
  const site = headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}
