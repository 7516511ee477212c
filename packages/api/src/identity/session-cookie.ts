import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import { sessionOwner } from '@millrace/shared/uploads/owner.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'

declare module '@fastify/secure-session' {
  interface SessionData extends SealedSession {}
}

declare module 'fastify' {
  interface FastifyRequest {
    /** What the reply's cookie seals: a session, or `ended` for none; null where it sets no cookie. */
    cookieToSend: SealedSession | 'ended' | null
  }
}

/** What the sealed cookie holds: a name for the session, not the session, which is in Redis. */
type SealedSession = {
  /** 32 hex digits. Becomes part of object keys, so it is not secret. */
  publicHalf: string
  /** 32 hex digits. Never leaves the cookie and Redis. */
  secretHalf: string
  createdAtMs: number
  /** When the cookie was last sealed: its life counts from there. */
  sealedAtMs: number
}

/** A session as its cookie names it. Times in ISO 8601. */
export type Session = {
  id: string
  owner: string
  createdAt: string
  expiresAt: string
  /** Whether the reply to this request carries its cookie, so that its life begins anew. */
  isSealedAnew: boolean
}

/** A cookie is sealed again, and so lives on, when it was last sealed longer ago than this. */
const sealAgainAfterMs = 24 * 60 * 60 * 1000
/** How many opened cookies are remembered, with what they name. One takes about 1 KB. */
const rememberedCookies = 5_000
/** Ours have some 350 characters. Longer ones are not remembered, or they would take what memory there is. */
const rememberedCharacters = 512

/** @param secure whether browsers come over https: the cookie is then bound to this very host */
export function sessionCookieName(secure: boolean): string {
  return secure ? '__Host-millrace' : 'millrace'
}

/**
 * Reads sessions out of requests' cookies and puts new ones in. A cookie that was tampered with, or sealed
 * with a key that is no longer known, is as good as none.
 *
 * Opened when a route asks for the session, and only once while it is remembered: what a sealed text holds
 * never changes, and whether it is still good is asked each time.
 *
 * @param options.keys 32 bytes each; the first seals, all open
 * @param options.ttlMs how long a cookie lives after it was sealed
 * @param options.secure whether browsers come over https: the cookie is then bound to this very host
 * @param options.now the clock, ms since 1970
 */
export function createSessionCookie(options: {
  keys: Buffer[]
  ttlMs: number
  secure: boolean
  now?: () => number
}) {
  const { keys, ttlMs, secure, now = Date.now } = options
  const name = sessionCookieName(secure)
  const ttlSeconds = Math.floor(ttlMs / 1000)
  const attributes = { path: '/', httpOnly: true, sameSite: 'lax', secure } as const
  const sealedText = new RegExp(`(?:^|; ?)${name}=([^;]+)`)
  const remembered = new LRUCache<string, ReturnType<typeof opened>>({ max: rememberedCookies })
  let registered: FastifyInstance | undefined

  /** Where the plugin's functions are. */
  function plugin(): FastifyInstance {
    if (!registered) throw new Error('No scope was registered to have sessions.')
    return registered
  }

  function open(request: FastifyRequest) {
    const text = sealedText.exec(request.headers.cookie ?? '')?.[1]
    if (text === undefined) return undefined
    const known = remembered.get(text)
    if (known) return known
    const decoded = plugin().parseCookie(`${name}=${text}`)[name] ?? ''
    const unsealed = plugin().decodeSecureSession(decoded, request.log)
    const sealed = unsealed?.data()
    if (!unsealed || !sealed?.publicHalf || !sealed.secretHalf || !sealed.createdAtMs || !sealed.sealedAtMs) {
      return undefined
    }
    const found = opened(sealed, unsealed.changed)
    if (text.length <= rememberedCharacters) remembered.set(text, found)
    return found
  }

  /** What is remembered of a cookie: what names the session, too, which would be made anew with each request. */
  function opened(sealed: SealedSession, byOldKey: boolean) {
    return { sealed, byOldKey, session: describe(sealed, false) }
  }

  function setCookie(held: SealedSession | 'ended'): string {
    if (held === 'ended') {
      return plugin().serializeCookie(name, '', { ...attributes, maxAge: 0, expires: new Date(0) })
    }
    const text = plugin().encodeSecureSession(plugin().createSecureSession(held))
    return plugin().serializeCookie(name, text, { ...attributes, maxAge: ttlSeconds })
  }

  function describe(
    { publicHalf, secretHalf, createdAtMs, sealedAtMs }: SealedSession,
    isSealedAnew: boolean,
  ): Session {
    return {
      id: `${publicHalf}${secretHalf}`,
      owner: sessionOwner(publicHalf),
      createdAt: new Date(createdAtMs).toISOString(),
      expiresAt: new Date(sealedAtMs + ttlMs).toISOString(),
      isSealedAnew,
    }
  }

  return {
    /** Lets the routes of a scope have sessions. */
    register(scope: FastifyInstance): void {
      scope.decorateRequest('cookieToSend', null)
      // In a scope without routes: its hooks would open the cookie of every request, asked for or not.
      scope.register(async (inner) => {
        await inner.register(secureSession, { key: keys, expiry: ttlSeconds })
        registered = inner
      })
      scope.addHook('onSend', (request, reply, _payload, done) => {
        if (request.cookieToSend !== null) reply.header('set-cookie', setCookie(request.cookieToSend))
        done()
      })
    },

    /** @returns the session that the request's cookie names, or undefined where it has no valid cookie */
    read(request: FastifyRequest): Session | undefined {
      const found = open(request)
      if (!found) return undefined
      const { sealed, byOldKey, session } = found
      const age = now() - sealed.sealedAtMs
      if (age >= ttlMs) return undefined
      if (!byOldKey && age <= sealAgainAfterMs) return session
      const sealedAnew = { ...sealed, sealedAtMs: now() }
      request.cookieToSend = sealedAnew
      return describe(sealedAnew, true)
    },

    /** Gives the request a new session; the reply carries its cookie. */
    start(request: FastifyRequest): Session {
      const sealed = {
        publicHalf: randomBytes(16).toString('hex'),
        secretHalf: randomBytes(16).toString('hex'),
        createdAtMs: now(),
        sealedAtMs: now(),
      }
      request.cookieToSend = sealed
      return describe(sealed, true)
    },

    /** Takes the cookie away from the client. */
    end(request: FastifyRequest): void {
      request.cookieToSend = 'ended'
    },
  }
}

export type SessionCookie = ReturnType<typeof createSessionCookie>
