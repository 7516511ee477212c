import type { IncomingMessage } from 'node:http'
import type { AllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Caller, type FindCaller, findFirst, hasScope, type Scope } from '../credentials/caller.ts'
import { requestedHost } from '../http/known-hosts.ts'
import { actAsNamedUser, userHeader } from './act-as.ts'
import type { SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'
import { isKeySession, isSignedIn, type SignIns } from './sign-ins.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who sent the request, if it proves it; null if it has no credential. */
    caller: Caller | null
  }
  interface FastifyContextConfig {
    /**
     * The scope that a key needs for this route. Default: `uploads:read` or `uploads:write`, by the method.
     */
    scope?: Scope
    /** Whether a session may write with this route although anonymous uploads are off, because it sends no file. */
    sendsNoFile?: boolean
    /** Whether the route is about the session itself, so that it is not asked who the session is signed in as. */
    isSession?: boolean
  }
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Authorizes the requests of a scope before anything else of them is read. A request with an API key needs a
 * valid key with the route's scope, and may name its user with `act-as`. A request without a key, with or without a cookie, is accepted unless a
 * page of another origin made the browser send a write, or anonymous uploads are off and the route writes. Pages of
 * allowed origins may write with a cookie if they are of the API's own site. A session that was signed in has the caller
 * that signed it in; when that has ended, its requests are refused until it signs in again, because they must not act for
 * another owner than the user expects.
 *
 * A session in which an API key acts for itself may do all that the key may, so only pages of the API use it: no origin is
 * allowed besides, reading is protected as well, and a write must say where it comes from, except to sign out.
 *
 * Other requests are refused with an AppError: `unauthenticated`, `forbidden`, `cross_site`, those of the token.
 *
 * @param scope the routes that have an owner
 * @param options.finders find the caller of a bearer token, each of one kind; the first that knows it decides
 * @param options.publicOrigin the origin that browsers show in their address bar
 * @param options.allowedOrigins origins of other pages that may use the API
 * @param options.openAdmin accepts requests without a key on routes that need the scope `admin`
 * @param options.signIns who a signed-in session acts as
 * @param options.anonymousUploads accepts requests without a key on routes that need the scope `uploads:write`
 */
export function authorize(
  scope: FastifyInstance,
  options: {
    finders: readonly FindCaller[]
    publicOrigin: string
    allowedOrigins: AllowedOrigins
    openAdmin: boolean
    anonymousUploads: boolean
    cookie: SessionCookie
    sessions: SessionRecords
    signIns: SignIns
  },
): void {
  const { finders, publicOrigin, allowedOrigins, openAdmin, anonymousUploads } = options
  const { cookie, sessions, signIns } = options
  scope.decorateRequest('caller', null)
  scope.addHook('onRequest', (request, _reply, done) => {
    const { authorization } = request.headers
    // Nearly all requests of browsers end here, without a promise.
    if (authorization !== undefined) identify(request, authorization).then(() => done(), done)
    else if (!request.routeOptions.config.isSession && isSignedIn(cookie.peek(request))) {
      identifySession(request).then(() => done(), done)
    } else done(refusalOfAnonymous(request) ?? refusalOfKeySession(request))
  })

  /** @throws AppError `unauthenticated`, `forbidden`, and those of the token */
  async function identify(request: FastifyRequest, authorization: string): Promise<void> {
    const caller = await findFirst(finders, bearerToken(authorization))
    if (!caller) throw new AppError('unauthenticated')
    // Browsers do not add tokens themselves, but they would take the cookie of the response.
    const refusal = request.routeOptions.config.isSession && refusalOfWrite(request)
    if (refusal) throw refusal
    const requiredScope = requiredScopeOf(request)
    if (!hasScope(caller, requiredScope)) {
      const name = caller.kind === 'key' ? 'API key' : 'token'
      throw new AppError('forbidden', { message: `The ${name} does not have the scope ${requiredScope}.` })
    }
    request.caller = actAsNamedUser(request, caller)
  }

  /** @throws AppError `forbidden`, `cross_site`, and those of the token */
  async function identifySession(request: FastifyRequest): Promise<void> {
    const session = cookie.read(request)
    if (!isSignedIn(session) || (await sessions.isEnded(session))) {
      const refusal = refusalOfAnonymous(request)
      if (refusal) throw refusal
      return
    }
    const refusal = refusalOfKeySession(request) ?? refusalOfWrite(request)
    if (refusal) throw refusal
    const caller = await signIns.callerOf(session)
    const requiredScope = requiredScopeOf(request)
    if (!hasScope(caller, requiredScope) && !(requiredScope === 'admin' && openAdmin)) {
      throw new AppError('forbidden', { message: `The session does not have the scope ${requiredScope}.` })
    }
    request.caller = actAsNamedUser(request, caller)
  }

  function requiredScopeOf(request: FastifyRequest): Scope {
    return request.routeOptions.config.scope ?? defaultScope(request.method)
  }

  function refusalOfAnonymous(request: FastifyRequest): AppError | undefined {
    const { config } = request.routeOptions
    const requiredScope = requiredScopeOf(request)
    if (request.headers[userHeader] !== undefined) {
      return new AppError('unauthenticated', { message: 'Millrace-User needs a key of scope act-as.' })
    }
    if (requiredScope === 'admin' && !openAdmin) return new AppError('unauthenticated')
    // They need to know the tenant, or the user that it names.
    if (['act-as', 'tokens', 'tenant'].includes(requiredScope)) return new AppError('unauthenticated')
    if (requiredScope === 'uploads:write' && !anonymousUploads && !config.sendsNoFile) return keyRequired()
    return refusalOfWrite(request)
  }

  /** Some protocols write with GET. Admin routes are protected like writes, whatever their method. */
  function writes(request: FastifyRequest): boolean {
    const requiredScope = requiredScopeOf(request)
    return !safeMethods.has(request.method) || requiredScope === 'uploads:write' || requiredScope === 'admin'
  }

  /** Returns why a write is refused that a page of another origin made the browser send with its cookie. */
  function refusalOfWrite(request: FastifyRequest): AppError | undefined {
    if (!writes(request) || !isCrossSite(request, publicOrigin)) return undefined
    const { origin } = request.headers
    const site = origin === undefined ? undefined : allowedOrigins.find(origin)
    const isClosed = requiredScopeOf(request) === 'admin' || request.routeOptions.config.cors === false
    if (site === 'same-site' && !isClosed) return undefined
    return new AppError('cross_site', {
      message: site === 'other-site' ? tokenRequired : originNotAllowed,
    })
  }

  /** Returns why a request with the cookie of an API key's session is refused. Links on other pages may be followed. */
  function refusalOfKeySession(request: FastifyRequest): AppError | undefined {
    if (!isKeySession(cookie.peek(request))) return undefined
    const isCross = isCrossSite(request, publicOrigin)
    // Browsers say it of each request with another method, but of others only over HTTPS and on loopback.
    const mustSay = !safeMethods.has(request.method) && !request.routeOptions.config.isSession
    const isRefused = writes(request)
      ? isCross || (mustSay && !saysWhereFrom(request))
      : isCross && !isFollowedLink(request)
    return isRefused ? new AppError('cross_site', { message: ownPagesOnly }) : undefined
  }
}

const ownPagesOnly =
  "Cross-site request refused: the session is signed in with an API key, so only the API's own pages use its cookie. Browsers say so in `Origin` or `Sec-Fetch-Site`. Other clients send `Authorization: Bearer <key>`."
const originNotAllowed =
  'Cross-site request refused: the origin of this page is not in ALLOWED_ORIGINS, or may not do this.'
/** Browsers send no cookie between sites, so the request would get a session that it cannot use again. */
const tokenRequired =
  'Cross-site request refused: this page is allowed, but it is of another site than this API, where there are no cookies. Send `Authorization: Bearer <token>`.'

/** The error of a request without an API key that would upload, while anonymous uploads are off. */
export function keyRequired(): AppError {
  return new AppError('unauthenticated', {
    message:
      'Uploads need an API key or a token here: send `Authorization: Bearer <key>`, or sign the session in with `PUT /session`. The operator can allow uploads without either with ANONYMOUS_UPLOADS=on.',
  })
}

function defaultScope(method: string): Scope {
  return safeMethods.has(method) ? 'uploads:read' : 'uploads:write'
}

/** Returns the bearer token (RFC 6750, 2.1), or an empty string, which matches no key. */
export function bearerToken(authorization: string): string {
  return /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(authorization)?.[1] ?? ''
}

/**
 * Whether a page of another origin made the browser send this request. Browsers report it in `Sec-Fetch-Site`
 * (Fetch Metadata) and in `Origin`, which pages cannot change. A client that sends neither header is not a
 * browser, so no page can use its cookie.
 */
function isCrossSite({ headers, raw }: FastifyRequest, publicOrigin: string): boolean {
  const { origin } = headers
  if (origin !== undefined) return origin !== publicOrigin && !isOriginOfHost(origin, raw, publicOrigin)
  const site = headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}

/** Whether a browser says of which page a request is. */
function saysWhereFrom({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined
}

/** Whether the browser opens the response itself, in a tab and not in a frame, so that the page with the link reads nothing. */
function isFollowedLink({ headers }: FastifyRequest): boolean {
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}

/**
 * Whether an origin has the host of a request, which is a name of the API (`refuseOddRequests`). If clients reach the API
 * over HTTPS, no http:// origin is accepted: anyone on the network may have sent its page.
 */
function isOriginOfHost(origin: string, request: IncomingMessage, publicOrigin: string): boolean {
  const page = URL.parse(origin)
  if (!page?.host || page.host !== requestedHost(request)?.toLowerCase()) return false
  return page.protocol === 'https:' || (page.protocol === 'http:' && publicOrigin.startsWith('http:'))
}
