import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import { sessionOwner } from '@millrace/shared/owner.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module '@fastify/secure-session' {
  /** What the sealed cookie holds: a name for the session, not the session, which is in Redis. */
  interface SessionData {
    /** 32 hex digits. Becomes part of object keys, so it is not secret. */
    publicHalf: string
    /** 32 hex digits. Never leaves the cookie and Redis. */
    secretHalf: string
    createdAtMs: number
    /** When the cookie was last sealed: its life counts from there. */
    sealedAtMs: number
  }
}

/** A session as its cookie names it. Times in ms since 1970. */
export type Session = {
  id: string
  owner: string
  createdAtMs: number
  expiresAtMs: number
}

/** A cookie is sealed again, and so lives on, when it was last sealed longer ago than this. */
const sealAgainAfterMs = 24 * 60 * 60 * 1000

/** @param secure whether browsers come over https: the cookie is then bound to this very host */
export function sessionCookieName(secure: boolean): string {
  return secure ? '__Host-millrace' : 'millrace'
}

/**
 * Opens and seals the session cookie for the routes of a scope. A cookie that was tampered with, or sealed
 * with a key that is no longer known, is as good as none.
 *
 * @param scope the routes that know sessions
 * @param options.keys 32 bytes each; the first seals, all open
 * @param options.ttlMs how long a cookie lives after it was sealed
 * @param options.secure whether browsers come over https: the cookie is then bound to this very host
 */
export function registerSessionCookie(
  scope: FastifyInstance,
  { keys, ttlMs, secure }: { keys: Buffer[]; ttlMs: number; secure: boolean },
): void {
  const ttlSeconds = Math.floor(ttlMs / 1000)
  scope.register(secureSession, {
    key: keys,
    cookieName: sessionCookieName(secure),
    expiry: ttlSeconds,
    cookie: { path: '/', httpOnly: true, sameSite: 'lax', secure, maxAge: ttlSeconds },
  })
}

/**
 * Reads sessions out of requests' cookies and puts new ones in.
 *
 * @param options.ttlMs how long a cookie lives after it was sealed
 */
export function createSessionCookie({ ttlMs }: { ttlMs: number }) {
  return {
    /** @returns the session that the request's cookie names, or undefined where it has no valid cookie */
    read({ session }: FastifyRequest): Session | undefined {
      const publicHalf = session.get('publicHalf')
      const secretHalf = session.get('secretHalf')
      const createdAtMs = session.get('createdAtMs')
      let sealedAtMs = session.get('sealedAtMs')
      if (!publicHalf || !secretHalf || !createdAtMs || !sealedAtMs) return undefined
      if (Date.now() - sealedAtMs > sealAgainAfterMs) {
        sealedAtMs = Date.now()
        session.set('sealedAtMs', sealedAtMs)
      }
      return describe(publicHalf, secretHalf, createdAtMs, sealedAtMs)
    },

    /** Gives the request a new session; the reply carries its cookie. */
    start({ session }: FastifyRequest): Session {
      const publicHalf = randomBytes(16).toString('hex')
      const secretHalf = randomBytes(16).toString('hex')
      const now = Date.now()
      session.set('publicHalf', publicHalf)
      session.set('secretHalf', secretHalf)
      session.set('createdAtMs', now)
      session.set('sealedAtMs', now)
      return describe(publicHalf, secretHalf, now, now)
    },

    /** Takes the cookie away from the client. */
    end({ session }: FastifyRequest): void {
      session.delete()
    },
  }

  function describe(
    publicHalf: string,
    secretHalf: string,
    createdAtMs: number,
    sealedAtMs: number,
  ): Session {
    return {
      id: `${publicHalf}${secretHalf}`,
      owner: sessionOwner(publicHalf),
      createdAtMs,
      expiresAtMs: sealedAtMs + ttlMs,
    }
  }
}

export type SessionCookie = ReturnType<typeof createSessionCookie>
