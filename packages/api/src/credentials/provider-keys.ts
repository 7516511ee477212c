import { AppError } from '@millrace/shared/service/app-error.ts'
import { createSeldomWarning } from '@millrace/shared/service/seldom-warning.ts'
import { createRemoteJWKSet, errors, type JWSHeaderParameters } from 'jose'
import type { Logger } from 'pino'

/** Timeout of one request for the keys, in ms. A request of a client may wait for it. */
const timeoutMs = 5_000
/** After a request for the keys, none for this long, in ms. So tokens with invented key ids cause few requests. */
const cooldownMs = 10_000
/** The same after a request that failed, in ms. */
const cooldownOfFailureMs = 5_000
/** Keys older than this are fetched again, so that a withdrawn key is forgotten, in ms. */
const maxAgeMs = 10 * 60_000

/**
 * Creates the lookup of an identity provider's public keys, which it publishes as a JWKS (RFC 7517). They are fetched
 * with the first token, again for a token whose key is unknown, and every ten minutes. Keys that are known are used as
 * long as the provider does not respond: only tokens with an unknown key need it.
 *
 * @param deps.now the clock, ms since 1970
 */
export function createProviderKeys(deps: { url: string; log: Pick<Logger, 'warn'>; now?: () => number }) {
  const { url, log, now = Date.now } = deps
  const warnSeldom = createSeldomWarning({ log })
  // When it fetches is decided here: of itself, it would fetch for every token while the provider is down.
  const keySet = createRemoteJWKSet(new URL(url), {
    timeoutDuration: timeoutMs,
    cooldownDuration: Number.POSITIVE_INFINITY,
    cacheMaxAge: Number.POSITIVE_INFINITY,
  })
  let loadedAtMs: number | undefined
  let nextFetchAtMs = Number.NEGATIVE_INFINITY
  let lastError: unknown
  let pending: Promise<void> | undefined

  async function fetchKeys(): Promise<void> {
    try {
      await keySet.reload()
      lastError = undefined
      loadedAtMs = now()
      nextFetchAtMs = loadedAtMs + cooldownMs
    } catch (error) {
      lastError = error
      nextFetchAtMs = now() + cooldownOfFailureMs
      warnSeldom(
        'identity-provider-unavailable',
        error,
        'the keys of the identity provider cannot be fetched',
      )
    } finally {
      pending = undefined
    }
  }

  /**
   * Fetches the keys, unless they were requested just before.
   * @throws AppError `identity_provider_unavailable` if the last request failed
   */
  async function refresh(): Promise<void> {
    if (now() >= nextFetchAtMs) pending ??= fetchKeys()
    await pending
    if (lastError === undefined) return
    const retryAfterSeconds = Math.max(1, Math.ceil((nextFetchAtMs - now()) / 1000))
    throw new AppError('identity_provider_unavailable', { cause: lastError, retryAfterSeconds })
  }

  /**
   * Returns the key that signed a token.
   *
   * @throws AppError `identity_provider_unavailable`; JOSEError if no key, or more than one, can have signed it
   */
  return async function findKey(header: JWSHeaderParameters) {
    if (loadedAtMs === undefined) await refresh()
    else if (now() - loadedAtMs > maxAgeMs) refresh().catch(() => undefined)
    try {
      return await keySet(header)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await refresh()
      return keySet(header)
    }
  }
}
