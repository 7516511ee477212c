import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../http/client-address.ts'
import { keyRequired } from './authorize.ts'
import type { NewSessions } from './new-sessions.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

/**
 * Creates the lookup of a request's owner: the owner of its caller, otherwise of its session.
 *
 * @param deps.tenantUsers records a user before its first upload
 * @param deps.anonymousUploads whether sessions may own new uploads
 */
export function createRequestOwner(deps: {
  cookie: SessionCookie
  sessions: SessionRecords
  newSessions: NewSessions
  tenantUsers: Pick<TenantUsers, 'record'>
  anonymousUploads: boolean
}) {
  const { cookie, sessions, newSessions, tenantUsers, anonymousUploads } = deps

  async function activeSession(request: FastifyRequest): Promise<Session | undefined> {
    const session = cookie.read(request)
    return session && !(await sessions.isEnded(session)) ? session : undefined
  }

  /**
   * Returns the owner of what a request will create, or undefined for an anonymous request. A session that owns nothing
   * yet is counted as a new owner of its address.
   *
   * @throws AppError `unauthenticated` without an API key, if anonymous uploads are off; `too_many_sessions` if the
   *   address has too many new owners
   */
  async function findForUpload(request: FastifyRequest): Promise<string | undefined> {
    if (request.caller) {
      const { tenant, user, owner } = request.caller
      if (user !== undefined) await tenantUsers.record(tenant, user)
      return owner
    }
    // `authorize` has refused the request already, unless a route's scope is wrong.
    if (!anonymousUploads) throw keyRequired()
    const session = await activeSession(request)
    if (session && !session.isOwner) {
      await newSessions.count('owners', session.owner, clientAddress(request))
      cookie.markOwner(request)
    }
    return session?.owner
  }

  return {
    /** Returns the owner, or undefined for an anonymous request, which has no uploads. */
    async find(request: FastifyRequest): Promise<string | undefined> {
      return request.caller?.owner ?? (await activeSession(request))?.owner
    },

    findForUpload,

    /**
     * Returns the owner. An anonymous request gets a new session, which then owns what the request creates.
     * @throws AppError as `findForUpload`
     */
    async findOrCreate(request: FastifyRequest): Promise<string> {
      const owner = await findForUpload(request)
      if (owner !== undefined) return owner
      await newSessions.count('owners', request.id, clientAddress(request))
      return cookie.start(request, { isOwner: true }).owner
    },
  }
}

export type RequestOwner = ReturnType<typeof createRequestOwner>
