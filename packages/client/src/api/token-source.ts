/** How long before it expires a token is replaced, in ms: a request that is on its way must arrive in time. */
const renewBeforeExpiryMs = 30_000

/**
 * Keeps the token that an app's `getToken` returns. It is asked for when a request needs a token, and again shortly before
 * the token expires, if the token is a JWT that says when (RFC 7519, 4.1.4). Concurrent requests share one call. A failed
 * call is not kept: the next request calls again.
 */
export function createTokenSource(getToken: () => string | Promise<string>) {
  let kept: { token: string; renewAtMs: number } | undefined
  let asking: Promise<string> | undefined

  async function ask(): Promise<string> {
    const token: unknown = await getToken()
    if (typeof token !== 'string' || token === '') {
      throw new Error(
        `getToken returned ${token === '' ? 'an empty text' : typeof token}, but must return a token.`,
      )
    }
    kept = { token, renewAtMs: (expiryOf(token) ?? Number.POSITIVE_INFINITY) - renewBeforeExpiryMs }
    return token
  }

  function askOnce(): Promise<string> {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  return {
    /** Returns the current token. @throws what `getToken` throws */
    async get(): Promise<string> {
      return kept && Date.now() < kept.renewAtMs ? kept.token : askOnce()
    },

    /** Returns another token than one that the API refused, or the same if the app has no other. */
    async replace(refused: string): Promise<string> {
      if (kept?.token === refused) kept = undefined
      return this.get()
    },
  }
}

/** Returns when a JWT expires, in ms since 1970, or undefined if it is another kind of token or does not say. */
function expiryOf(token: string): number | undefined {
  const [, claims = ''] = token.split('.')
  try {
    const { exp }: { exp?: unknown } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}
