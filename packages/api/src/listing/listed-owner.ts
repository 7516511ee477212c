import { AppError } from '@millrace/shared/service/app-error.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import type { FastifyRequest } from 'fastify'
import { hasScope } from '../credentials/caller.ts'
import type { RequestOwner } from '../identity/request-owner.ts'

/** Whose uploads a request lists, and the tenant's user that this is. */
export type ListedOwner = { owner: string; user: string | undefined }

/** Creates the choice of the owner whose uploads a request lists: its own, or a user that the tenant's administrator names. */
export function createListedOwner({ owner }: { owner: RequestOwner }) {
  /**
   * @param user the named user's id. It is a user of the caller's tenant, so nobody of another tenant can be named
   * @returns undefined for an anonymous request, which has no uploads
   * @throws AppError `unauthenticated` if an anonymous request names a user, `forbidden` if a caller without the scope
   *   `tenant` names another user than itself
   */
  return async function listedOwner(
    request: FastifyRequest,
    user: string | undefined,
  ): Promise<ListedOwner | undefined> {
    const { caller } = request
    if (user === undefined) {
      const own = await owner.find(request)
      return own === undefined ? undefined : { owner: own, user: caller?.user }
    }
    if (!caller) throw new AppError('unauthenticated', { message: 'The parameter user needs an API key.' })
    if (!hasScope(caller, 'tenant') && caller.user !== user) {
      throw new AppError('forbidden', { message: 'The parameter user needs the scope tenant.' })
    }
    return { owner: userOwner(caller.tenant, user), user }
  }
}

export type FindListedOwner = ReturnType<typeof createListedOwner>
