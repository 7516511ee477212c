import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import { undefinedIfUnreadable, unreadableRecord } from '@millrace/shared/connections/stored-json.ts'
import { sessionOwner } from '@millrace/shared/uploads/owner.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { SignIn } from './sign-in.ts'

declare module '@fastify/secure-session' {
  interface SessionData extends SealedSession {}
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The session that the response's cookie will seal; `ended` deletes the cookie; null sets none. */
    cookieToSend: SealedSession | 'ended' | null
    /** The opened cookie of the request; `none` if it has no valid one; null before it is read. */
    openedCookie: OpenedCookie | 'none' | null
  }
}

/** Content of the sealed cookie. It identifies the session, whose data is in Redis. */
const SealedSession = Type.Object({
  publicHalf: Type.String({
    minLength: 1,
    description: '32 hex digits; part of object keys, so it is not secret',
  }),
  secretHalf: Type.String({ minLength: 1, description: '32 hex digits; only in the cookie and in Redis' }),
  createdAtMs: Type.Integer({ minimum: 1 }),
  sealedAtMs: Type.Integer({
    minimum: 1,
    description: "time of the last seal, ms since 1970; the cookie's lifetime starts here",
  }),
  // Version 0.1 does not know the following fields. Without them, its cookies mean 0 and false.
  uncountedViews: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'views that the record does not count: 1 if the session began with `GET /session`',
    }),
  ),
  isOwner: Type.Optional(
    Type.Boolean({ description: 'whether the session was counted as a new owner of its address' }),
  ),
  // Versions before 0.2 take the session for an anonymous one.
  signIn: Type.Optional(SignIn),
  before: Type.Optional(
    Type.Object(
      {
        publicHalf: Type.String({ minLength: 1 }),
        secretHalf: Type.String({ minLength: 1 }),
        createdAtMs: Type.Integer({ minimum: 1 }),
        sealedAtMs: Type.Integer({ minimum: 1 }),
        uncountedViews: Type.Optional(Type.Integer({ minimum: 0 })),
        isOwner: Type.Optional(Type.Boolean()),
      },
      { description: 'the anonymous session in which the browser continues after an API key signed out' },
    ),
  ),
})
type SealedSession = Static<typeof SealedSession>

const sealedSession = Compile(SealedSession)

/** A session as identified by its cookie. Times in ISO 8601. */
export type Session = {
  id: string
  owner: string
  createdAt: string
  expiresAt: string
  /** Whether the response to this request sets the cookie, so that its lifetime starts again. */
  setsCookie: boolean
  /** Views that the record in Redis does not count. */
  uncountedViews: number
  /** Whether the session may own uploads without being counted as a new owner. */
  isOwner: boolean
  /** Who signed it in; undefined: it is anonymous. */
  signIn: SignIn | undefined
}

/** An anonymous session, as its cookie had it. */
type EarlierSession = NonNullable<SealedSession['before']>

/** A cookie's content. It contains the session, so that not every request creates it again. */
type OpenedCookie = { sealed: SealedSession; sealedWithOldKey: boolean; session: Session }

/** A cookie whose last seal is older than this is sealed again, which renews its lifetime. */
const renewAfterMs = 24 * 60 * 60 * 1000
/** Number of opened cookies in the cache. An entry takes about 1 KB, that of a signed-in session up to 8 KB. */
const cookieCacheSize = 5_000
/** Characters of all cookies in the cache. Ours have some 350, those of signed-in sessions up to 4,096. */
const maxCachedCharacters = 4 * 1024 ** 2
const maxCookieCharacters = 4_096

/**
 * Returns the name of the session cookie. It contains the API's path, so that two of them can have one origin. The cookie's own
 * path is `/` all the same, as `__Host-` requires: otherwise a page of a neighbouring domain could set the cookie.
 *
 * @param options.secure whether browsers use https: the name's prefix `__Host-` then binds the cookie to this host
 * @param options.publicPath the path under which clients reach the API; empty if it has an origin for itself
 */
export function sessionCookieName({ secure, publicPath }: { secure: boolean; publicPath: string }): string {
  // Segments of the path have no dots (config.ts).
  return `${secure ? '__Host-' : ''}millrace${publicPath.replaceAll('/', '.')}`
}

/**
 * Creates the reader and writer of session cookies. A cookie that was modified, or sealed with a removed key,
 * is ignored. A sealed cookie with content of an unknown form is of another version. It is not ignored, because the next
 * response would replace it, and the client would lose its uploads.
 *
 * A cookie is opened only if a route needs the session, and its content is cached: the content of a sealed
 * text never changes. The expiry is checked on each request.
 *
 * @param options.keys 32 bytes each; the first one seals, all of them open
 * @param options.ttlMs lifetime of a cookie after its last seal
 * @param options.secure whether browsers use https: the cookie is then bound to this host
 * @param options.name as `sessionCookieName` returns it
 * @param options.now the clock, ms since 1970
 */
export function createSessionCookie(options: {
  keys: Buffer[]
  ttlMs: number
  secure: boolean
  name: string
  now?: () => number
}) {
  const { keys, ttlMs, secure, name, now = Date.now } = options
  const ttlSeconds = Math.floor(ttlMs / 1000)
  const attributes = { path: '/', httpOnly: true, sameSite: 'lax', secure } as const
  const sealedText = new RegExp(`(?:^|; ?)${name.replaceAll('.', '[.]')}=([^;]+)`)
  const openedCookies = new LRUCache<string, OpenedCookie>({
    max: cookieCacheSize,
    maxSize: maxCachedCharacters,
    maxEntrySize: maxCookieCharacters,
    sizeCalculation: (_opened, text) => text.length,
  })
  let pluginScope: FastifyInstance | undefined

  /** Returns the instance that has the functions of secure-session. */
  function plugin(): FastifyInstance {
    if (!pluginScope) throw new Error('Call `register` before any session is read or started.')
    return pluginScope
  }

  /** Returns the content of the request's cookie. Both the rate limit and the route ask for it. */
  function open(request: FastifyRequest): OpenedCookie | undefined {
    request.openedCookie ??= read(request) ?? 'none'
    return request.openedCookie === 'none' ? undefined : request.openedCookie
  }

  function read(request: FastifyRequest): OpenedCookie | undefined {
    const text = sealedText.exec(request.headers.cookie ?? '')?.[1]
    if (text === undefined) return undefined
    const cached = openedCookies.get(text)
    if (cached) return cached
    const decoded = plugin().parseCookie(`${name}=${text}`)[name] ?? ''
    const unsealed = plugin().decodeSecureSession(decoded, request.log)
    if (!unsealed) return undefined
    const sealed: unknown = unsealed.data()
    if (!sealedSession.Check(sealed)) throw unreadableRecord('A session cookie does not match its schema.')
    const opened = { sealed, sealedWithOldKey: unsealed.changed, session: describeSession(sealed, false) }
    openedCookies.set(text, opened)
    return opened
  }

  function setCookieHeader(content: SealedSession | 'ended'): string {
    if (content === 'ended') {
      return plugin().serializeCookie(name, '', { ...attributes, maxAge: 0, expires: new Date(0) })
    }
    const text = plugin().encodeSecureSession(plugin().createSecureSession(content))
    return plugin().serializeCookie(name, text, { ...attributes, maxAge: ttlSeconds })
  }

  function newSession(): SealedSession {
    return {
      publicHalf: randomBytes(16).toString('hex'),
      secretHalf: randomBytes(16).toString('hex'),
      createdAtMs: now(),
      sealedAtMs: now(),
    }
  }

  function describeSession(sealed: SealedSession, setsCookie: boolean): Session {
    const { publicHalf, secretHalf, createdAtMs, sealedAtMs } = sealed
    const { uncountedViews = 0, isOwner = false, signIn } = sealed
    return {
      id: `${publicHalf}${secretHalf}`,
      owner: sessionOwner(publicHalf),
      createdAt: new Date(createdAtMs).toISOString(),
      expiresAt: new Date(sealedAtMs + ttlMs).toISOString(),
      setsCookie,
      uncountedViews,
      isOwner,
      signIn,
    }
  }

  return {
    /** Adds sessions to the routes of a scope. */
    register(scope: FastifyInstance): void {
      scope.decorateRequest('cookieToSend', null)
      scope.decorateRequest('openedCookie', null)
      // The plugin gets a scope without routes, because its hooks would open the cookie of every request.
      scope.register(async (inner) => {
        await inner.register(secureSession, { key: keys, expiry: ttlSeconds })
        pluginScope = inner
      })
      scope.addHook('onSend', (request, reply, _payload, done) => {
        if (request.cookieToSend !== null) reply.header('set-cookie', setCookieHeader(request.cookieToSend))
        done()
      })
    },

    /**
     * Returns the session of the request's cookie, or undefined without a valid cookie. Renews an old cookie.
     * @throws AppError `unreadable_record` if the cookie is of another version
     */
    read(request: FastifyRequest): Session | undefined {
      const opened = open(request)
      if (!opened) return undefined
      const { sealed, sealedWithOldKey, session } = opened
      const ageMs = now() - sealed.sealedAtMs
      if (ageMs >= ttlMs) return undefined
      if (!sealedWithOldKey && ageMs <= renewAfterMs) return session
      const renewed = { ...sealed, sealedAtMs: now() }
      request.cookieToSend = renewed
      return describeSession(renewed, true)
    },

    /** Returns the session of the request's cookie, as `read` does, but changes nothing and never throws. */
    peek(request: FastifyRequest): Session | undefined {
      try {
        const opened = open(request)
        return opened && now() - opened.sealed.sealedAtMs < ttlMs ? opened.session : undefined
      } catch (error) {
        return undefinedIfUnreadable(error)
      }
    },

    /**
     * Starts a new session for the request. The response sets its cookie.
     *
     * @param options.uncountedViews views that its record will not count
     * @param options.isOwner whether it was counted as a new owner
     */
    start(request: FastifyRequest, options: { uncountedViews?: number; isOwner?: boolean } = {}): Session {
      const sealed = { ...newSession(), ...options }
      request.cookieToSend = sealed
      return describeSession(sealed, true)
    },

    /**
     * Seals into the cookie who signed the session in.
     *
     * @param keepsSession whether the request's session goes on; otherwise a new one starts, so that whoever has a copy of
     *   the old cookie has nothing of the user
     */
    signIn(request: FastifyRequest, signIn: SignIn, keepsSession: boolean): Session {
      const before = keepsSession ? open(request)?.sealed : undefined
      const sealed = { ...(before ?? newSession()), sealedAtMs: now(), signIn }
      request.cookieToSend = sealed
      return describeSession(sealed, true)
    },

    /**
     * Starts a new session that an API key signed in. The session of the request continues after the key signs out, if it is anonymous.
     *
     * @param signIn has the id of the key
     * @param continues whether the session of the request may continue: it has not ended
     */
    signInWithKey(request: FastifyRequest, signIn: SignIn, continues: boolean): Session {
      const current = continues ? open(request)?.sealed : undefined
      const before = current && (current.signIn ? current.before : withoutSignIn(current))
      const sealed = { ...newSession(), signIn, ...(before && { before }) }
      request.cookieToSend = sealed
      return describeSession(sealed, true)
    },

    /** Returns the anonymous session that the browser had before an API key signed in, unless its cookie would have expired. */
    sessionBefore(request: FastifyRequest): Session | undefined {
      const before = open(request)?.sealed.before
      return before && now() - before.sealedAtMs < ttlMs ? describeSession(before, true) : undefined
    },

    /** Sets the cookie of the session that `sessionBefore` returns. Its lifetime continues. */
    returnToSessionBefore(request: FastifyRequest): void {
      request.cookieToSend = open(request)?.sealed.before ?? 'ended'
    },

    /**
     * Seals into the request's cookie that its session was counted as a new owner. The cookie's lifetime does not start
     * again, since that of the record does not.
     */
    markOwner(request: FastifyRequest): void {
      const { cookieToSend } = request
      const sealed = cookieToSend === 'ended' ? null : (cookieToSend ?? open(request)?.sealed)
      if (sealed) request.cookieToSend = { ...sealed, isOwner: true }
    },

    /** Deletes the cookie: the response sets an expired one. */
    end(request: FastifyRequest): void {
      request.cookieToSend = 'ended'
    },
  }
}

function withoutSignIn(sealed: SealedSession): EarlierSession {
  const { publicHalf, secretHalf, createdAtMs, sealedAtMs, uncountedViews, isOwner } = sealed
  return {
    ...{ publicHalf, secretHalf, createdAtMs, sealedAtMs },
    ...(uncountedViews !== undefined && { uncountedViews }),
    ...(isOwner !== undefined && { isOwner }),
  }
}

export type SessionCookie = ReturnType<typeof createSessionCookie>
