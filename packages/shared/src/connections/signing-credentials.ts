import { setTimeout as delay } from 'node:timers/promises'
import type { S3Client } from '@aws-sdk/client-s3'
import type { Logger } from 'pino'

/**
 * What is signed ends this long before its credentials, in ms: clocks differ, and a request needs time to reach S3, which
 * checks the credentials when it arrives.
 */
const marginMs = 30_000
/** What is signed is valid for this long at least, in ms: S3 accepts no shorter life. */
const minLifeMs = 1_000
/** Newer credentials are asked for at most this often, in ms. */
const renewalIntervalMs = 60_000
/** How long a request waits for newer credentials, in ms. It uses the old ones then. */
const defaultMaxWaitMs = 1_000

/** Credentials that sign, and the time until which their signatures are valid. */
export type SigningKeys = {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
  /** Milliseconds since 1970; infinite for credentials that do not end. */
  endsAtMs: number
}

/**
 * Finds credentials for signatures that others use later. Such a signature ends with its credentials, and those of a role
 * last for hours only. The SDK renews them 5 minutes before their end, which is too late for a URL that should be valid for an hour.
 * So they are renewed as soon as they would end before the signature. EC2 has newer ones "at least five minutes before the
 * expiration of the old" (Amazon EC2 User Guide, "Retrieve security credentials from instance metadata"), in practice hours before.
 * Until then, signatures are valid for a shorter time.
 *
 * @param deps.s3 the client whose credentials sign
 * @param deps.log gets a warning when credentials cannot be renewed
 * @param deps.maxWaitMs how long a request waits for newer credentials, in ms
 * @param deps.now a monotonic clock, in ms
 */
export function createSigningCredentials(deps: {
  s3: Pick<S3Client, 'config'>
  log?: Pick<Logger, 'warn'> | undefined
  maxWaitMs?: number
  now?: () => number
}) {
  const { s3, log, maxWaitMs = defaultMaxWaitMs, now = () => performance.now() } = deps
  let renewal: Promise<void> | undefined
  let renewedAtMs = Number.NEGATIVE_INFINITY

  async function read(): Promise<SigningKeys> {
    const credentials = await s3.config.credentials()
    const { accessKeyId, secretAccessKey, sessionToken } = credentials
    return {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      endsAtMs: endOf(credentials) - marginMs,
    }
  }

  /** Asks for newer credentials, once at a time and not too often. The old ones stay in use if that fails. */
  async function renew(): Promise<void> {
    if (!renewal && now() - renewedAtMs >= renewalIntervalMs) {
      renewedAtMs = now()
      renewal = s3.config
        .credentials({ forceRefresh: true })
        .then(
          () => undefined,
          (error: unknown) =>
            log?.warn({ err: error, event: 'credentials-not-renewed' }, 'credentials not renewed'),
        )
        .finally(() => {
          renewal = undefined
        })
    }
    if (!renewal) return
    const waited = new AbortController()
    await Promise.race([
      renewal,
      delay(maxWaitMs, undefined, { signal: waited.signal }).catch(() => undefined),
    ])
    waited.abort()
  }

  /**
   * Finds credentials that last for `lifeMs` from now, or for as long as possible.
   *
   * @throws the SDK's error if there are none
   */
  async function find(lifeMs: number): Promise<SigningKeys> {
    const current = await read()
    if (current.endsAtMs - Date.now() >= lifeMs) return current
    await renew()
    return read()
  }

  return {
    find,

    /**
     * Returns how long a signature that is made now can be valid, in ms.
     *
     * @param maxMs how long it should be, in ms
     * @throws the SDK's error if there are no credentials
     */
    async lifeMs(maxMs: number): Promise<number> {
      const { endsAtMs } = await find(maxMs)
      return lifeUntil(endsAtMs, maxMs, Date.now())
    },
  }
}

export type SigningCredentials = ReturnType<typeof createSigningCredentials>

/**
 * Returns how long a signature of `signedAtMs` is valid, in ms.
 *
 * @param endsAtMs the end of the credentials, in ms since 1970
 * @param maxMs how long it should be, in ms
 */
export function lifeUntil(endsAtMs: number, maxMs: number, signedAtMs: number): number {
  return Math.max(minLifeMs, Math.min(maxMs, endsAtMs - signedAtMs))
}

/**
 * Returns when credentials end, in ms since 1970. While AWS gives no newer ones, the SDK keeps those of an instance beyond their
 * end, and says `expiration` for the time of its next attempt (AWS SDKs Reference Guide, "static stability").
 */
function endOf(credentials: { expiration?: Date }): number {
  const { expiration } = credentials
  if (!expiration) return Number.POSITIVE_INFINITY
  const original = 'originalExpiration' in credentials ? credentials.originalExpiration : undefined
  return original instanceof Date && original.getTime() > Date.now()
    ? original.getTime()
    : expiration.getTime()
}
