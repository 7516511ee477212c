import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { endKeySession } from './end-key-session.ts'
import type { EndedIdentities } from './ended-identities.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'
import { SessionView } from './session-routes.ts'
import { isKeySession, type SignIns } from './sign-ins.ts'

/** Characters of a key. Those that we generate have 46, but `API_KEYS` may have the hash of any text. */
const maxKeyCharacters = 256

const KeyToSignIn = Type.Object(
  { key: Type.String({ minLength: 1, maxLength: maxKeyCharacters, description: 'an API key' }) },
  { title: 'KeyToSignIn', additionalProperties: false },
)

/**
 * Adds `/session/key`: signs the browser's session in as an API key, and out. The session then acts as the key, with its
 * tenant and scopes, so that an operator's browser can use what headers cannot reach: pictures, links, event streams.
 *
 * Each sign-in begins another session, so that whoever has a copy of an earlier cookie has nothing of the key.
 *
 * @param api a scope with sessions
 * @param deps.instance the name of this instance
 */
export function keySessionRoutes(
  api: Api,
  deps: {
    cookie: SessionCookie
    sessions: SessionRecords
    signIns: SignIns
    endedIdentities: EndedIdentities
    instance: string
  },
): void {
  const { cookie, sessions, signIns, instance } = deps
  // Pages of other origins never ask for a key of the API, whatever ALLOWED_ORIGINS says.
  const config = { sendsNoFile: true, isSession: true, cors: false, scope: 'uploads:read' } as const

  api.put(
    '/session/key',
    { config, schema: { body: KeyToSignIn, response: { 200: SessionView } } },
    async (request, reply) => {
      const key = await signIns.findKey(request.body.key)
      const before = await findSession(request)
      if (isKeySession(before)) await endKeySession(before, request, deps)
      const signIn = { owner: key.owner, keyId: key.id }
      const session = cookie.signInWithKey(request, signIn, before !== undefined)
      await sessions.signIn(session, key.id)
      request.log.info(
        { event: 'key-signed-in', keyId: key.id, tenant: key.tenant },
        'API key signed in to a session',
      )
      const { createdAt, expiresAt } = session
      const signedIn = await signIns.describe(session)
      reply.header('cache-control', 'no-store')
      const signInEnded = signedIn === null
      return { views: 0, user: null, createdAt, expiresAt, signedIn, signInEnded, servedBy: instance }
    },
  )

  api.delete('/session/key', { config }, async (request, reply) => {
    const session = cookie.read(request)
    if (isKeySession(session)) {
      await endKeySession(session, request, deps)
      const before = cookie.sessionBefore(request)
      if (before && !(await sessions.isEnded(before))) cookie.returnToSessionBefore(request)
      else cookie.end(request)
    }
    return reply.code(204).send()
  })

  async function findSession(request: FastifyRequest): Promise<Session | undefined> {
    const session = cookie.read(request)
    return session && !(await sessions.isEnded(session)) ? session : undefined
  }
}
