import type { FastifyRequest } from 'fastify'
import { keyRequired } from './authorize.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

/**
 * Creates the lookup of a request's owner: the owner of its API key, otherwise of its session.
 *
 * @param deps.anonymousUploads whether sessions may own new uploads
 */
export function createRequestOwner(deps: {
  cookie: SessionCookie
  sessions: SessionRecords
  anonymousUploads: boolean
}) {
  const { cookie, sessions, anonymousUploads } = deps

  async function activeSession(request: FastifyRequest): Promise<Session | undefined> {
    const session = cookie.read(request)
    return session && !(await sessions.isEnded(session)) ? session : undefined
  }

  return {
    /** Returns the owner, or undefined for an anonymous request, which has no uploads. */
    async find(request: FastifyRequest): Promise<string | undefined> {
      return request.apiKey?.owner ?? (await activeSession(request))?.owner
    },

    /**
     * Returns the owner. An anonymous request gets a new session, which then owns what the request creates.
     * @throws AppError `unauthenticated` without an API key, if anonymous uploads are off
     */
    async findOrCreate(request: FastifyRequest): Promise<string> {
      if (request.apiKey) return request.apiKey.owner
      // `authorize` has refused the request already, unless a route's scope is wrong.
      if (!anonymousUploads) throw keyRequired()
      return ((await activeSession(request)) ?? cookie.start(request)).owner
    },
  }
}

export type RequestOwner = ReturnType<typeof createRequestOwner>
