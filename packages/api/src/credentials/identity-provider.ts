import { createHash } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { TenantName, UserId, userOwner } from '@millrace/shared/uploads/owner.ts'
import { errors, type JWSHeaderParameters, type JWTPayload, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { Compile } from 'typebox/compile'
import { findWrongText } from '../requests/checked-text.ts'
import type { Caller, Scope } from './caller.ts'
import { type JwtSettings, splitWords } from './jwt-settings.ts'
import { createProviderKeys } from './provider-keys.ts'

/** Algorithms of public keys. A JWKS never verifies HS256, so that its public keys cannot be used as secrets. */
const publicKeyAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519']
/** How far the clocks of provider and API may differ, in seconds. */
const clockSkewSeconds = 30
/** Longer tokens are not parsed. Those of large Keycloak realms have some 4,000 characters. */
const maxTokenCharacters = 8_192
/** 9999-12-31, the last day that ISO 8601 can write, in seconds since 1970. */
const maxTimeSeconds = 253_402_300_799
/** How long a verified token is not verified again, in ms. A key that the provider withdraws is trusted as long. */
const verifiedForMs = 60_000
/** An entry takes about 1 KB. */
const verifiedTokens = 5_000

/** Header, claims and signature, which `none` leaves empty. */
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]*$/
const userId = Compile(UserId)
const tenantName = Compile(TenantName)

/**
 * Creates the lookup of users who have a JWT of the team's own identity provider.
 *
 * What is wrong with a token is not told to its bearer, only whether it is expired. The log has the rest.
 *
 * @param deps.now the clock, ms since 1970
 */
export function createIdentityProvider(
  settings: JwtSettings,
  deps: { log: Pick<Logger, 'warn'>; now?: () => number },
) {
  const { jwksUrl, secret, issuer, audiences, audienceClaim, tenant, userClaim, scopes, scopesClaim } =
    settings
  const { log, now = Date.now } = deps
  const secretKey = secret === undefined ? undefined : new TextEncoder().encode(secret)
  const findPublicKey = jwksUrl === undefined ? undefined : createProviderKeys({ url: jwksUrl, log, now })
  const algorithms = [...(findPublicKey ? publicKeyAlgorithms : []), ...(secretKey ? ['HS256'] : [])]
  const verified = new LRUCache<string, { caller: Caller; endsAtMs: number; verifiedAtMs: number }>({
    max: verifiedTokens,
  })

  /** The kind of key follows from the algorithm alone, never from what the token names. */
  async function findKey(header: JWSHeaderParameters) {
    const key = header.alg === 'HS256' ? secretKey : await findPublicKey?.(header)
    if (!key) throw new errors.JOSEAlgNotAllowed('No key for this algorithm.')
    return key
  }

  /** @throws AppError `token_invalid`, `token_expired`, `identity_provider_unavailable` */
  async function verify(token: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, findKey, {
        algorithms,
        issuer,
        ...(audienceClaim === 'aud' && { audience: audiences }),
        requiredClaims: ['exp'],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(now()),
      })
      return payload
    } catch (error) {
      if (error instanceof AppError) throw error
      throw new AppError(error instanceof errors.JWTExpired ? 'token_expired' : 'token_invalid', {
        cause: error,
      })
    }
  }

  /** @throws AppError `token_invalid` if a claim is not what it must be */
  function readCaller(claims: JWTPayload): { caller: Caller; endsAtMs: number } {
    if (audienceClaim !== 'aud' && !audiences.some((audience) => claims[audienceClaim] === audience)) {
      throw wrongClaim(audienceClaim)
    }
    const { exp = 0 } = claims
    if (exp > maxTimeSeconds) throw wrongClaim('exp')
    const tenantOfUser = 'name' in tenant ? tenant.name : readClaim(claims, tenant.claim)
    if (!tenantName.Check(tenantOfUser)) throw wrongClaim('tenant')
    const claimed = readClaim(claims, userClaim)
    // Some frameworks number their users.
    const user = Number.isSafeInteger(claimed) ? String(claimed) : claimed
    if (!userId.Check(user) || findWrongText(user)) throw wrongClaim('user')
    const owner = userOwner(tenantOfUser, user)
    const endsAtMs = Math.floor((exp + clockSkewSeconds) * 1000)
    const caller: Caller = {
      kind: 'jwt',
      // All tokens of a user count together, since each of them is used for some minutes only.
      id: `jwt-${owner.slice(2)}`,
      tenant: tenantOfUser,
      user,
      owner,
      scopes: new Set(scopesClaim === undefined ? scopes : narrow(scopes, readClaim(claims, scopesClaim))),
      endsAtMs,
      hasEnded: async () => false,
    }
    return { caller, endsAtMs }
  }

  /**
   * Returns the user of a JWT; undefined for what is no JWT.
   * @throws AppError `token_invalid`, `token_expired`, `identity_provider_unavailable`
   */
  async function find(token: string): Promise<Caller | undefined> {
    if (!compactForm.test(token)) return undefined
    if (token.length > maxTokenCharacters) throw new AppError('token_invalid')
    const digest = createHash('sha256').update(token).digest('base64')
    const known = verified.get(digest)
    if (known && now() >= known.endsAtMs) throw new AppError('token_expired')
    if (known && now() - known.verifiedAtMs < verifiedForMs) return known.caller
    const read = readCaller(await verify(token))
    verified.set(digest, { ...read, verifiedAtMs: now() })
    return read.caller
  }

  return { find }
}

/**
 * Returns a claim. Dots separate the levels of nested claims (`app_metadata.tenant`), unless the name contains `/` or
 * `:`: providers use URLs and prefixes as names of claims (`https://acme.example/tenant`, `custom:tenant`).
 */
function readClaim(claims: JWTPayload, name: string): unknown {
  const path = /[/:]/.test(name) ? [name] : name.split('.')
  return path.reduce<unknown>(
    (value, part) => (isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined),
    claims,
  )
}

/** Returns those scopes that a claim has too: a text with spaces between (RFC 9068, 2.2.3), or a list. */
function narrow(scopes: readonly Scope[], claim: unknown): Scope[] {
  const granted: readonly unknown[] =
    typeof claim === 'string' ? splitWords(claim) : Array.isArray(claim) ? claim : []
  return scopes.filter((scope) => granted.includes(scope))
}

function wrongClaim(name: string): AppError {
  return new AppError('token_invalid', {
    cause: new errors.JWTClaimValidationFailed(`The claim of "${name}" is missing or wrong.`, {}, name),
  })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
