import type { FastifyRequest } from 'fastify'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

/** Tells who is asking: whom the request's API key stands for, else the session that its cookie names. */
export function createRequestOwner(deps: { cookie: SessionCookie; sessions: SessionRecords }) {
  const { cookie, sessions } = deps

  async function session(request: FastifyRequest): Promise<Session | undefined> {
    const named = cookie.read(request)
    return named && !(await sessions.isEnded(named)) ? named : undefined
  }

  return {
    /** @returns the owner, or undefined where nobody known is asking, who can own nothing */
    async find(request: FastifyRequest): Promise<string | undefined> {
      return request.apiKey?.owner ?? (await session(request))?.owner
    },

    /** @returns the owner; who comes without a session gets one, so that what they make is theirs */
    async findOrStart(request: FastifyRequest): Promise<string> {
      if (request.apiKey) return request.apiKey.owner
      return ((await session(request)) ?? cookie.start(request)).owner
    },
  }
}

export type RequestOwner = ReturnType<typeof createRequestOwner>
