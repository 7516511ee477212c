import { undefinedIfUnreadable } from '@millrace/shared/connections/stored-json.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { Caller } from '../credentials/caller.ts'
import type { Api } from '../http/api.ts'
import { bearerToken } from './authorize.ts'
import { endKeySession } from './end-key-session.ts'
import type { EndedIdentities } from './ended-identities.ts'
import type { Session, SessionCookie } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'
import { isKeySession, isSignedIn, type SignedInAs, type SignIns } from './sign-ins.ts'

const Until = Type.String({ description: 'ISO 8601: when session or credential end, whichever is first' })

export const SessionView = Type.Object(
  {
    views: Type.Integer({ description: 'number of `GET /session` requests of this session' }),
    user: Type.Union([Type.String(), Type.Null()], { description: 'the label set by `PUT /session`' }),
    createdAt: Type.String({ description: 'ISO 8601' }),
    expiresAt: Type.String({ description: 'ISO 8601; is extended while the session is used' }),
    signedIn: Type.Union(
      [
        Type.Object({
          user: Type.String({ description: 'the id of the user, as the credential names it' }),
          until: Until,
        }),
        Type.Object({
          keyId: Type.String({ description: 'the API key that the session acts as' }),
          tenant: Type.String({ description: 'its tenant, who owns the uploads of the session' }),
          scopes: Type.Array(Type.String(), { description: 'what the session may do' }),
          until: Until,
        }),
        Type.Null(),
      ],
      {
        description:
          'whom the session was signed in as: a user, or an API key itself; null: it is anonymous, or its credential has ended',
      },
    ),
    signInEnded: Type.Boolean({
      description:
        'whether it was signed in, and its credential has ended: other requests get 401 until it signs in again, or out',
    }),
    servedBy: Type.String({ description: 'the instance that served this request' }),
  },
  { title: 'Session' },
)

const Label = Type.String({ minLength: 1, maxLength: 128 })

/** With a credential, the body is optional. */
const SessionLabel = Type.Object(
  { user: Type.Optional(Label) },
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
    signIns: SignIns
    endedIdentities: EndedIdentities
    instance: string
  },
): void {
  const { cookie, sessions, signIns, endedIdentities, instance } = deps

  const config = { sendsNoFile: true, isSession: true }
  api.get('/session', { config, schema: { response: { 200: SessionView } } }, async (request, reply) => {
    const session = cookie.read(request)
    const record = session && (await sessions.view(session, request))
    if (session && record) return viewSession(reply, session, record, await signIns.describe(session))
    // Nothing is stored before the cookie comes back. Most never do: crawlers and attackers drop them.
    const views = 1
    return viewSession(reply, cookie.start(request, { uncountedViews: views }), { views, user: null }, null)
  })

  api.put(
    '/session',
    {
      // Who may only read can sign in, too.
      config: { ...config, scope: 'uploads:read' },
      schema: { body: SessionLabel },
      preValidation: async (request) => {
        if (request.caller) request.body ??= {}
      },
    },
    async (request, reply) => {
      const { caller, body } = request
      if (!caller && body.user === undefined) throw labelMissing()
      const session = caller ? await signIn(request, caller) : await findOrStartSession(request)
      if (body.user !== undefined) await sessions.label(session, body.user, request)
      return reply.code(204).send()
    },
  )

  api.delete('/session', { config }, async (request, reply) => {
    const session = readToEnd(request)
    if (isKeySession(session)) await endKeySession(session, request, deps)
    else if (session) {
      await sessions.end(session, request)
      await endedIdentities.publish(session.owner)
      if (session.signIn) await endedIdentities.publish(session.signIn.owner)
    }
    cookie.end(request)
    return reply.code(204).send()
  })

  async function findSession(request: FastifyRequest): Promise<Session | undefined> {
    const session = cookie.read(request)
    return session && !(await sessions.isEnded(session)) ? session : undefined
  }

  async function findOrStartSession(request: FastifyRequest): Promise<Session> {
    return (await findSession(request)) ?? cookie.start(request)
  }

  /** A session goes on if the same user signs in again, because the earlier token ends. */
  async function signIn(request: FastifyRequest, caller: Caller): Promise<Session> {
    const sealed = signIns.seal(caller, bearerToken(request.headers.authorization ?? ''))
    const before = await findSession(request)
    if (isKeySession(before)) await endKeySession(before, request, deps)
    return cookie.signIn(request, sealed, !isKeySession(before) && before?.signIn?.owner === caller.owner)
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
    signedIn: SignedInAs | null,
  ): Static<typeof SessionView> {
    reply.header('cache-control', 'no-store')
    const { createdAt, expiresAt } = session
    const signInEnded = isSignedIn(session) && signedIn === null
    return { views, user, createdAt, expiresAt, signedIn, signInEnded, servedBy: instance }
  }
}

function labelMissing(): AppError {
  const [field, message] = ['user', 'is required without a credential']
  return new AppError('invalid_request', { message: `${field} ${message}.`, fields: [{ field, message }] })
}
