import { AppError } from '@millrace/shared/service/app-error.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { type Caller, type FindCaller, findFirst, type Scope } from '../credentials/caller.ts'
import type { Session } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'
import type { SignIn } from './sign-in.ts'

/** What the session of a user may do, whatever its credential may: the rest is for backends and for keys themselves. */
const userScopes: readonly Scope[] = ['uploads:read', 'uploads:write']
/** The codes of a credential that has ended. */
const endedCodes = ['token_invalid', 'token_expired', 'token_revoked']

/** Longer tokens do not fit into a cookie: browsers accept 4,096 bytes, and sealing adds more than half. */
const maxTokenCharacters = 2_400

export type SignedInSession = Session & { signIn: SignIn }
/** A session in which an API key acts for itself. */
export type KeySession = Session & { signIn: SignIn & { keyId: string } }

/** What a session tells of who it is signed in as. Times in ISO 8601. */
export type SignedInAs =
  | { user: string; until: string }
  | { keyId: string; tenant: string; scopes: Scope[]; until: string }

/** Whether somebody signed the session in, possibly with a credential that has ended since. */
export function isSignedIn(session: Session | undefined): session is SignedInSession {
  return session?.signIn !== undefined
}

/** Whether an API key signed the session in for itself. */
export function isKeySession(session: Session | undefined): session is KeySession {
  return session?.signIn?.keyId !== undefined
}

/**
 * Creates the lookup of who a session is signed in as.
 *
 * @param deps.finders find the caller of a token
 * @param deps.findKey finds an API key by its id; undefined: it was revoked
 * @param deps.keyFinders find an API key by its text
 */
export function createSignIns(deps: {
  finders: readonly FindCaller[]
  keyFinders: readonly FindCaller[]
  findKey: (id: string) => Promise<Caller | undefined> | Caller | undefined
  sessions: SessionRecords
}) {
  const { finders, keyFinders, findKey, sessions } = deps

  /** The key may have been revoked or changed since. */
  async function findUserOfKey({ id, user }: NonNullable<SignIn['key']>): Promise<Caller | undefined> {
    const found = await findKey(id)
    if (!found?.scopes.has('act-as')) return undefined
    const owner = userOwner(found.tenant, user)
    // Users of one key must not share its rate limit.
    return { ...found, id: owner, user, owner }
  }

  /**
   * Returns the caller that a session acts as, as long as session and credential last.
   * @throws AppError `token_expired`, `token_revoked`, `token_invalid` if the credential has ended
   */
  async function callerOf(session: SignedInSession): Promise<Caller> {
    if (isKeySession(session)) return callerOfKey(session)
    const { token, key } = session.signIn
    const caller = await (token === undefined ? key && findUserOfKey(key) : findFirst(finders, token))
    if (!caller) throw new AppError('token_revoked')
    return {
      ...caller,
      scopes: new Set(userScopes.filter((scope) => caller.scopes.has(scope))),
      endsAtMs: endOf(caller, session),
      hasEnded: async () =>
        // Checking must not prolong the record.
        (await sessions.isEnded({ ...session, setsCookie: false })) || (await caller.hasEnded()),
    }
  }

  async function callerOfKey(session: KeySession): Promise<Caller> {
    const { keyId } = session.signIn
    const isSignedInNow = async () => (await sessions.signedInKey(session)) === keyId
    const key = (await isSignedInNow()) ? await findKey(keyId) : undefined
    if (!key) throw keySessionEnded()
    return {
      ...key,
      endsAtMs: endOf(key, session),
      hasEnded: async () => !(await isSignedInNow()) || (await key.hasEnded()),
    }
  }

  return {
    callerOf,

    /** Returns who a session is signed in as; null if nobody, or if the credential has ended. */
    async describe(session: Session): Promise<SignedInAs | null> {
      if (!isSignedIn(session)) return null
      try {
        const { id, tenant, user, scopes, endsAtMs } = await callerOf(session)
        if (endsAtMs === undefined) return null
        const until = new Date(endsAtMs).toISOString()
        return user === undefined ? { keyId: id, tenant, scopes: [...scopes], until } : { user, until }
      } catch (error) {
        if (error instanceof AppError && endedCodes.includes(error.code)) return null
        throw error
      }
    },

    /**
     * Returns the API key with this text.
     * @throws AppError `unauthenticated` if there is none or it has expired; `dependency_unavailable` while the keys cannot
     *   be loaded
     */
    async findKey(text: string): Promise<Caller> {
      const key = await findFirst(keyFinders, text)
      if (!key) throw new AppError('unauthenticated', { message: 'The API key is unknown or was revoked.' })
      return key
    },

    /**
     * Returns what to seal into the cookie of a session that a caller signs in.
     *
     * @param token what the caller sent
     * @throws AppError `forbidden` if the caller is no user; `invalid_request` if the token is too long for a cookie
     */
    seal(caller: Caller, token: string): SignIn {
      const { kind, id, keyId = id, user, owner } = caller
      if (user === undefined) {
        throw new AppError('forbidden', {
          message:
            'Only users sign in this way: send the token of a user, or an API key with the scope act-as and the header Millrace-User. PUT /session/key signs in as an API key itself.',
        })
      }
      if (kind === 'key') return { owner, key: { id: keyId, user } }
      if (token.length > maxTokenCharacters) {
        throw new AppError('invalid_request', {
          message: `The token has ${token.length} characters; a session holds at most ${maxTokenCharacters}. Send it as a bearer token with each request, or have it issued with fewer claims.`,
        })
      }
      return { owner, token }
    },
  }
}

/** Returns when the credential or the session ends by itself, whichever is first, in ms since 1970. */
function endOf({ endsAtMs }: Caller, { expiresAt }: Session): number {
  return Math.min(endsAtMs ?? Number.POSITIVE_INFINITY, Date.parse(expiresAt))
}

function keySessionEnded(): AppError {
  return new AppError('token_revoked', {
    message:
      'The API key of this session was revoked or has expired, or Redis has lost the session. Sign in again.',
  })
}

export type SignIns = ReturnType<typeof createSignIns>
