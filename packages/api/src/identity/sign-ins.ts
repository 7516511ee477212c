import { AppError } from '@millrace/shared/service/app-error.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { type Caller, type FindCaller, findFirst, type Scope } from '../credentials/caller.ts'
import type { Session } from './session-cookie.ts'
import type { SessionRecords } from './session-records.ts'
import type { SignIn } from './sign-in.ts'

/** What a session may do, whatever its credential may: the rest is for backends. */
const sessionScopes: readonly Scope[] = ['uploads:read', 'uploads:write']
/** The codes of a credential that has ended. */
const endedCodes = ['token_invalid', 'token_expired', 'token_revoked']

/** Longer tokens do not fit into a cookie: browsers accept 4,096 bytes, and sealing adds more than half. */
const maxTokenCharacters = 2_400

export type SignedInSession = Session & { signIn: SignIn }

/** Whether somebody signed the session in, possibly with a credential that has ended since. */
export function isSignedIn(session: Session | undefined): session is SignedInSession {
  return session?.signIn !== undefined
}

/**
 * Creates the lookup of who a session is signed in as.
 *
 * @param deps.finders find the caller of a token
 * @param deps.findKey finds an API key by its id; undefined: it was revoked
 */
export function createSignIns(deps: {
  finders: readonly FindCaller[]
  findKey: (id: string) => Promise<Caller | undefined> | Caller | undefined
  sessions: SessionRecords
}) {
  const { finders, findKey, sessions } = deps

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
    const { token, key } = session.signIn
    const caller = await (token === undefined ? key && findUserOfKey(key) : findFirst(finders, token))
    if (!caller) throw new AppError('token_revoked')
    return {
      ...caller,
      scopes: new Set(sessionScopes.filter((scope) => caller.scopes.has(scope))),
      endsAtMs: Math.min(caller.endsAtMs ?? Number.POSITIVE_INFINITY, Date.parse(session.expiresAt)),
      hasEnded: async () =>
        // Checking must not prolong the record.
        (await sessions.isEnded({ ...session, setsCookie: false })) || (await caller.hasEnded()),
    }
  }

  return {
    callerOf,

    /** Returns who a session is signed in as; null if nobody, or if the credential has ended. */
    async describe(session: Session): Promise<{ user: string; until: string } | null> {
      if (!isSignedIn(session)) return null
      try {
        const { user, endsAtMs } = await callerOf(session)
        return user === undefined || endsAtMs === undefined
          ? null
          : { user, until: new Date(endsAtMs).toISOString() }
      } catch (error) {
        if (error instanceof AppError && endedCodes.includes(error.code)) return null
        throw error
      }
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
            'Only users sign in: send the token of a user, or an API key with the scope act-as and the header Millrace-User.',
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

export type SignIns = ReturnType<typeof createSignIns>
