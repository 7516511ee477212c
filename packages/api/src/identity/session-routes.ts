import type { FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'

export const SessionView = Type.Object(
  {
    views: Type.Integer({ description: 'how often GET /session was asked with this cookie' }),
    user: Type.Union([Type.String(), Type.Null()], { description: 'the label given by PUT /session' }),
    createdAt: Type.String({ description: 'ISO 8601' }),
    expiresAt: Type.String({ description: 'ISO 8601; moves on while the session is used' }),
    servedBy: Type.String({ description: 'the instance that answered' }),
  },
  { title: 'Session' },
)

const SessionLabel = Type.Object(
  { user: Type.String({ minLength: 1, maxLength: 128 }) },
  { title: 'SessionLabel', additionalProperties: false },
)

/**
 * `/session`: a session that all instances share, whichever is asked.
 *
 * @param api the routes that know sessions
 * @param deps.instance the name of this instance
 */
export function sessionRoutes(
  api: Api,
  deps: { cookie: SessionCookie; sessions: SessionRecords; instance: string },
): void {
  const { cookie, sessions, instance } = deps

  api.get('/session', { schema: { response: { 200: SessionView } } }, async (request, reply) => {
    const named = cookie.read(request)
    const seen = named && (await sessions.view(named))
    if (named && seen) return view(reply, named, seen)
    const started = cookie.start(request)
    return view(reply, started, (await sessions.view(started)) ?? { views: 1, user: null })
  })

  api.put('/session', { schema: { body: SessionLabel } }, async (request, reply) => {
    await sessions.label(await current(request), request.body.user)
    return reply.code(204).send()
  })

  api.delete('/session', async (request, reply) => {
    const named = cookie.read(request)
    if (named) await sessions.end(named)
    cookie.end(request)
    return reply.code(204).send()
  })

  async function current(request: FastifyRequest): Promise<Session> {
    const named = cookie.read(request)
    return named && !(await sessions.isEnded(named)) ? named : cookie.start(request)
  }

  function view(
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
