import { undefinedIfUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

/** Until when the identity of a request is valid, for what the request leaves open: an event stream. */
export type IdentityLifetime = {
  /** When it ends by itself, in ms since 1970; undefined: never. */
  endsAtMs: number | undefined
  /** Whether it was ended. */
  hasEnded(): Promise<boolean>
}

/** No owner has this name. Versions before 0.2 check nothing then, and end such streams by the periodic checks. */
const anyOwner = '*'

const endless: IdentityLifetime = { endsAtMs: undefined, hasEnded: async () => false }

/**
 * Creates what tells the end of identities. Where an identity was ended, its owner is published on the channel
 * `{prefix}:ended-identities`, so that all instances check what it left open at once. Redis delivers a message at most
 * once, so they also check from time to time.
 */
export function createEndedIdentities(deps: {
  redis: Redis
  subscriber: Subscriber
  prefix: string
  cookie: SessionCookie
  sessions: SessionRecords
}) {
  const { redis, subscriber, cookie, sessions } = deps
  const channel = `${deps.prefix}:ended-identities`

  return {
    /**
     * Returns the lifetime of a request's identity. A
     * request without an identity, which only `OPEN_ADMIN` serves, has no end either.
     */
    lifetimeOf(request: FastifyRequest): IdentityLifetime {
      if (request.caller) return request.caller
      const session = readSession(request)
      if (!session) return endless
      return {
        endsAtMs: Date.parse(session.expiresAt),
        // Checking must not prolong the record.
        hasEnded: () => sessions.isEnded({ ...session, setsCookie: false }),
      }
    },

    /** Makes all instances check what an owner's identities left open, after one of them was ended. */
    publish,

    /** Makes all instances check what the identities of all owners left open, after one that acted for several was ended. */
    publishOfAny: () => publish(anyOwner),

    /**
     * Calls the listener with each owner one of whose identities was ended, on any instance; with undefined if it may be
     * any owner. After a reconnection it may be: messages were missed.
     */
    onEnded(listener: (owner: string | undefined) => void): void {
      subscriber.subscribe(channel, (owner) => listener(owner === anyOwner ? undefined : owner))
      subscriber.onReconnected(() => listener(undefined))
    },
  }

  async function publish(owner: string): Promise<void> {
    // If this fails, the periodic checks remain.
    await redis.publish(channel, owner).catch(() => undefined)
  }

  /** A cookie of another version opens no uploads, so nothing has to end with it. */
  function readSession(request: FastifyRequest): Session | undefined {
    try {
      return cookie.read(request)
    } catch (error) {
      return undefinedIfUnreadable(error)
    }
  }
}

export type EndedIdentities = ReturnType<typeof createEndedIdentities>
