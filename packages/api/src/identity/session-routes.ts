import { undefinedIfUnreadable } from '@millrace/shared/service/stored-json.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from './ended-identities.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

export const SessionView = Type.Object(
  {
    views: Type.Integer({ description: 'number of `GET /session` requests of this session' }),
    user: Type.Union([Type.String(), Type.Null()], { description: 'the label set by `PUT /session`' }),
    createdAt: Type.String({ description: 'ISO 8601' }),
    expiresAt: Type.String({ description: 'ISO 8601; is extended while the session is used' }),
    servedBy: Type.String({ description: 'the instance that served this request' }),
  },
  { title: 'Session' },
)

const SessionLabel = Type.Object(
  { user: Type.String({ minLength: 1, maxLength: 128 }) },
  { title: 'SessionLabel', additionalProperties: false },
)

/**
 * Adds `/session`. All instances share the sessions.
 *
 * @param api a scope with sessions
 * @param deps.instance the name of this instance
 */
export function sessionRoutes(
  api: Api,
  deps: {
    cookie: SessionCookie
    sessions: SessionRecords
    endedIdentities: EndedIdentities
    instance: string
  },
): void {
  const { cookie, sessions, endedIdentities, instance } = deps

  api.get('/session', { schema: { response: { 200: SessionView } } }, async (request, reply) => {
    const session = cookie.read(request)
    const record = session && (await sessions.view(session, request))
    if (session && record) return viewSession(reply, session, record)
    // Nothing is stored before the cookie comes back. Most never do: crawlers and attackers drop them.
    const views = 1
    return viewSession(reply, cookie.start(request, { uncountedViews: views }), { views, user: null })
  })

  const config = { sendsNoFile: true }
  api.put('/session', { config, schema: { body: SessionLabel } }, async (request, reply) => {
    await sessions.label(await findOrStartSession(request), request.body.user, request)
    return reply.code(204).send()
  })

  api.delete('/session', { config }, async (request, reply) => {
    const session = readToEnd(request)
    if (session) {
      await sessions.end(session, request)
      await endedIdentities.publish(session.owner)
    }
    cookie.end(request)
    return reply.code(204).send()
  })

  async function findOrStartSession(request: FastifyRequest): Promise<Session> {
    const session = cookie.read(request)
    return session && !(await sessions.isEnded(session)) ? session : cookie.start(request)
  }

  /** A cookie of another version is deleted as well: its client must not keep a session that it cannot end. */
  function readToEnd(request: FastifyRequest): Session | undefined {
    try {
      return cookie.read(request)
    } catch (error) {
      return undefinedIfUnreadable(error)
    }
  }

  function viewSession(
    reply: FastifyReply,
    session: Session,
    { views, user }: { views: number; user: string | null },
  ): Static<typeof SessionView> {
    reply.header('cache-control', 'no-store')
    return {
      views,
      user,
      createdAt: session.createdAt,
      expiresAt: session.expiresAt,
      servedBy: instance,
    }
  }
}
