import { AppError } from '@millrace/shared/service/app-error.ts'
import { UserId, userOwner } from '@millrace/shared/uploads/owner.ts'
import type { FastifyRequest } from 'fastify'
import { Compile } from 'typebox/compile'
import { type Caller, hasScope } from '../credentials/caller.ts'
import { findWrongText } from '../requests/checked-text.ts'

/** Names the tenant's user for which a request acts. */
export const userHeader = 'millrace-user'

const userId = Compile(UserId)
/** Characters of a user's key that its rate limit has: 64 bits. A longer name would not be cached (`rate-limits.ts`). */
const userKeyLength = 16

/**
 * Returns the caller of a request, as the user that it names in `Millrace-User`. The id is percent-encoded UTF-8, as
 * `encodeURIComponent` writes it, because headers have no encoding for other characters than ASCII.
 *
 * @throws AppError `forbidden` without the scope `act-as`; `invalid_request` if the header is no percent-encoded id of 1 to
 *   256 characters, or is sent twice
 */
export function actAsNamedUser(request: FastifyRequest, caller: Caller): Caller {
  if (request.headers[userHeader] === undefined) return caller
  if (!hasScope(caller, 'act-as')) {
    throw new AppError('forbidden', { message: 'Millrace-User needs the scope act-as.' })
  }
  const [encoded = '', ...others] = request.raw.headersDistinct[userHeader] ?? []
  const user = decode(encoded)
  if (others.length > 0 || !userId.Check(user) || findWrongText(user)) throw wrongHeader()
  const owner = userOwner(caller.tenant, user)
  return { ...caller, id: `${caller.id}:${owner.slice(-userKeyLength)}`, keyId: caller.id, user, owner }
}

/** Returns the text; undefined if it is not percent-encoded UTF-8. */
function decode(encoded: string): string | undefined {
  if (!/^[\x20-\x7e]*$/.test(encoded)) return undefined
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

function wrongHeader(): AppError {
  const problem = 'must be the id of one user, 1 to 256 characters, as percent-encoded UTF-8 without NUL'
  return new AppError('invalid_request', {
    message: `Millrace-User ${problem}.`,
    fields: [{ field: userHeader, message: problem }],
  })
}
