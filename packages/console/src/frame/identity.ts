import { ApiProblem, type Client, type components, dataOf } from '@millrace/client'
import { computed, signal } from '@preact/signals'

export type Session = components['schemas']['Session']

/** A problem after which the session's credential has ended. */
const endedCodes: readonly string[] = ['token_revoked', 'token_expired', 'token_invalid']
/** `admin` includes `tenant`. */
const includedIn: Record<string, string> = { tenant: 'admin' }

/** @throws ApiProblem if the response is an error */
function checkOk(result: { error?: unknown; response: Response }): void {
  if (!result.response.ok) dataOf(result)
}

/** Who uses the page: the session of this browser, and whom it is signed in as. */
export function createIdentity({ client }: { client: Client }) {
  const session = signal<Session | undefined>(undefined)
  const hasEnded = signal(false)
  let opening: Promise<Session> | undefined

  async function load(): Promise<Session> {
    const loaded = dataOf(await client.api.GET('/session'))
    session.value = loaded
    hasEnded.value = loaded.signInEnded
    return loaded
  }

  return {
    session,
    /** Whether the dialog that asks for an API key is open. */
    asksForKey: signal(false),
    /** Whether the session was signed in, and the API key or token has ended since. */
    hasEnded,
    signedIn: computed(() => session.value?.signedIn ?? undefined),

    /**
     * Opens the session, once. Everything else waits for it: concurrent requests without a cookie would each create one.
     * @throws ApiProblem; TypeError if the API cannot be reached. The next call tries again
     */
    open(): Promise<Session> {
      opening ??= load().catch((error) => {
        opening = undefined
        throw error
      })
      return opening
    },

    /** Whether the page may do what needs a scope. */
    may(scope: string): boolean {
      const signedIn = session.value?.signedIn
      if (!signedIn || !('scopes' in signedIn)) return false
      return signedIn.scopes.includes(scope) || signedIn.scopes.includes(includedIn[scope] ?? scope)
    },

    /** Tells that a request failed, which may be because the sign-in has ended. */
    noteFailure(error: unknown): void {
      if (error instanceof ApiProblem && endedCodes.includes(error.code)) hasEnded.value = true
    },

    /**
     * Signs the browser in as an API key, and loads the page again: all that it shows belongs to one owner.
     * @throws ApiProblem `unauthenticated` if there is no such key; TypeError if the API cannot be reached
     */
    async signIn(key: string): Promise<void> {
      dataOf(await client.api.PUT('/session/key', { body: { key } }))
      location.reload()
    },

    /**
     * Signs the browser out, and loads the page again.
     * @throws ApiProblem; TypeError if the API cannot be reached
     */
    async signOut(): Promise<void> {
      checkOk(await client.api.DELETE('/session/key'))
      const { signedIn, signInEnded } = await load()
      // A user was signed in by a token. Such a session has nothing to go back to.
      if (signedIn || signInEnded) checkOk(await client.api.DELETE('/session'))
      location.reload()
    },
  }
}

export type Identity = ReturnType<typeof createIdentity>
