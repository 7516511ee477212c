import { type Client, type components, dataOf } from '@millrace/client'
import { computed, signal } from '@preact/signals'

export type Session = components['schemas']['Session']

/** Who uses the page: the session of this browser, and whom it is signed in as. */
export function createIdentity({ client }: { client: Client }) {
  const session = signal<Session | undefined>(undefined)
  let opening: Promise<Session> | undefined

  async function load(): Promise<Session> {
    session.value = dataOf(await client.api.GET('/session'))
    return session.value
  }

  return {
    session,
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
  }
}

export type Identity = ReturnType<typeof createIdentity>
