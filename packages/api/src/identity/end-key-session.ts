import type { FastifyRequest } from 'fastify'
import type { EndedIdentities } from './ended-identities.ts'
import type { SessionRecords } from './session-records.ts'
import type { KeySession } from './sign-ins.ts'

/**
 * Ends a session that an API key signed in: copies of its cookie become invalid, and its event streams end on all instances,
 * also those that it opened for users of its tenant.
 */
export async function endKeySession(
  session: KeySession,
  request: FastifyRequest,
  deps: { sessions: SessionRecords; endedIdentities: EndedIdentities },
): Promise<void> {
  await deps.sessions.end(session, request)
  await deps.endedIdentities.publishOfAny()
  const { keyId, owner: tenant } = session.signIn
  request.log.info({ event: 'key-signed-out', keyId, tenant }, 'API key signed out of a session')
}
