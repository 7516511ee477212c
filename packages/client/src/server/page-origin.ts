import { RouteError } from '../routes/route-error.ts'

/** How long browsers may keep the answer to a preflight request, in seconds. Chromium keeps it for two hours at most. */
const preflightSeconds = 7200

/**
 * Knows which pages may ask for tokens with the cookies of the app's users: those of the app's own origin, and those of the
 * origins in `allowedOrigins`. Programs that are no browsers send neither `Sec-Fetch-Site` nor `Origin`, and have no cookies
 * that another page could use.
 */
export function createPageOrigins(allowedOrigins: readonly string[]) {
  const allowed = new Set(allowedOrigins.map((origin) => new URL(origin).origin))

  /** Returns the origin of the page that sent a request, if it is one of another origin that is allowed. */
  function allowedOrigin(request: Request): string | undefined {
    const origin = request.headers.get('origin') ?? ''
    return allowed.has(origin) ? origin : undefined
  }

  return {
    /** @throws RouteError `cross_site` */
    check(request: Request): void {
      if (isOwnPage(request) || allowedOrigin(request) !== undefined) return
      const origin = request.headers.get('origin') ?? 'another site'
      throw new RouteError({
        ...{ status: 403, code: 'cross_site' },
        detail: `Pages of ${origin} may not ask for upload tokens: it is not in allowedOrigins of createUploads.`,
      })
    },

    /** Answers a preflight request. */
    answerPreflight(request: Request): Response {
      const headers = new Headers({ vary: 'origin, access-control-request-headers' })
      if (allowedOrigin(request) !== undefined) {
        headers.set('access-control-allow-methods', 'POST')
        headers.set('access-control-max-age', String(preflightSeconds))
        const wanted = request.headers.get('access-control-request-headers')
        if (wanted !== null) headers.set('access-control-allow-headers', wanted)
      }
      return new Response(null, { status: 204, headers })
    },

    /** Lets the page of an allowed origin read a response. */
    open(request: Request, response: Response): Response {
      const origin = allowedOrigin(request)
      if (origin === undefined) return response
      response.headers.set('access-control-allow-origin', origin)
      response.headers.set('access-control-allow-credentials', 'true')
      response.headers.append('vary', 'origin')
      return response
    },
  }
}

/** Browsers before Safari 16.4, and pages without TLS, do not send `Sec-Fetch-Site`. They send `Origin`. */
function isOwnPage({ headers, url }: Request): boolean {
  const site = headers.get('sec-fetch-site')
  if (site !== null) return site === 'same-origin' || site === 'none'
  const origin = headers.get('origin')
  return origin === null || hostOf(origin) === (headers.get('host') ?? new URL(url).host)
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}
