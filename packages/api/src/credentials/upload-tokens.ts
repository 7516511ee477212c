import { AppError } from '@millrace/shared/service/app-error.ts'
import { TenantName, UserId, userOwner } from '@millrace/shared/uploads/owner.ts'
import { UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { type Caller, TokenLimits } from './caller.ts'
import { newTokenId, readTokenId, type TokenId } from './token-id.ts'
import { deriveTokenKeys, kidPrefix } from './token-keys.ts'

/**
 * How long an upload token may last, in seconds: as long as an upload in parts may stay open (`openUploadLifeMs`). Its
 * bearer needs it until the last part.
 */
export const maxTokenLifeSeconds = 7 * 24 * 60 * 60
/** How far the clocks of two instances may differ, in seconds. */
export const clockSkewSeconds = 5

const algorithm = 'HS256'
/** The type of our tokens (RFC 8725, 3.11): no other JWT that is signed with the same key can be taken for one. */
const type = 'millrace-upload+jwt'
const issuer = 'urn:millrace'
const audience = 'urn:millrace:uploads'

/** What a token may allow. */
export const TokenScope = Type.Union([Type.Literal('uploads:read'), Type.Literal('uploads:write')])

/**
 * The claims of ours. A token with a limit or a scope that this version does not know is refused, because it would allow
 * more than it should.
 */
const Claims = Type.Object({
  jti: Type.String({ minLength: 1 }),
  exp: Type.Integer({ description: 'seconds since 1970' }),
  tenant: TenantName,
  sub: UserId,
  scopes: Type.Array(TokenScope, { minItems: 1 }),
  limits: Type.Optional(TokenLimits),
  metadata: Type.Optional(UploadMetadata),
})
const validClaims = Compile(Claims)

/** What a new token allows, and to whom. */
export type TokenGrant = {
  tenant: string
  user: string
  scopes: readonly Static<typeof TokenScope>[]
  /** At most `maxTokenLifeSeconds`. */
  expiresInSeconds: number
  limits?: TokenLimits | undefined
  metadata?: UploadMetadata | undefined
}

/** A new token. `expiresAt` in ISO 8601. */
export type MadeToken = { token: string; id: string; expiresAt: string }

/**
 * Makes and verifies upload tokens: JWTs for the browsers of a tenant's users. What a token allows is in the token, so that
 * an instance verifies it without Redis. Only revocations are known beside it (`revoked-tokens.ts`).
 *
 * @param deps.sessionKeys the first signs, all of them verify
 * @param deps.revokedTokens the ids of revoked tokens
 * @param deps.now the clock, ms since 1970
 */
export function createUploadTokens(deps: {
  sessionKeys: readonly Uint8Array[]
  revokedTokens: { has: (id: string) => Promise<boolean> }
  now?: () => number
}) {
  const { revokedTokens, now = Date.now } = deps
  const keys = deriveTokenKeys(deps.sessionKeys).map(({ kid, signing, ids }) => ({
    kid,
    ids,
    key: importKey(signing),
  }))
  const idKeys = keys.map(({ ids }) => ids)
  const signingKeys = new Map(keys.map(({ kid, key }) => [kid, key]))

  /** @throws AppError `token_invalid`, `token_expired` */
  async function verify(token: string): Promise<Static<typeof Claims>> {
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid = '' }) => {
          const key = signingKeys.get(kid)
          if (!key) throw new errors.JWKSNoMatchingKey()
          return key
        },
        {
          algorithms: [algorithm],
          typ: type,
          issuer,
          audience,
          clockTolerance: clockSkewSeconds,
          // Refuses a token of the future, too.
          maxTokenAge: maxTokenLifeSeconds,
          currentDate: new Date(now()),
        },
      )
      if (validClaims.Check(payload)) return payload
    } catch (error) {
      // The signature is verified before the time, so only the bearer of a real token learns that it has expired.
      if (error instanceof errors.JWTExpired) throw new AppError('token_expired')
      if (!(error instanceof errors.JOSEError)) throw error
    }
    throw new AppError('token_invalid')
  }

  return {
    /** Makes a token. It ends at a whole second. */
    async make(grant: TokenGrant): Promise<MadeToken> {
      const { tenant, user, scopes, expiresInSeconds, limits, metadata } = grant
      const [first] = keys
      if (!first) throw new Error('Upload tokens need a session key.')
      const startSeconds = Math.floor(now() / 1000)
      const endsAtMs = (startSeconds + expiresInSeconds) * 1000
      const id = newTokenId({ owner: userOwner(tenant, user), endsAtMs }, first.ids)
      const token = await new SignJWT({
        tenant,
        scopes: [...scopes],
        ...(limits && { limits }),
        ...(metadata && { metadata }),
      })
        .setProtectedHeader({ alg: algorithm, typ: type, kid: first.kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(user)
        .setJti(id)
        .setIssuedAt(startSeconds)
        .setExpirationTime(endsAtMs / 1000)
        .sign(await first.key)
      return { token, id, expiresAt: new Date(endsAtMs).toISOString() }
    },

    /** Returns what an id tells; undefined if it is not the id of a token that these keys signed. */
    readId: (id: string): TokenId | undefined => readTokenId(id, idKeys),

    /**
     * Finds the caller of an upload token.
     *
     * @returns undefined if it is another kind of token
     * @throws AppError `token_invalid`, `token_expired`, `token_revoked`, and whatever reading the revocations throws
     */
    async find(token: string): Promise<Caller | undefined> {
      if (!claimsToBeOurs(token)) return undefined
      const { jti, exp, tenant, sub: user, scopes, limits, metadata } = await verify(token)
      if (await revokedTokens.has(jti)) throw new AppError('token_revoked')
      return {
        kind: 'token',
        id: `token-${jti}`,
        tenant,
        user,
        owner: userOwner(tenant, user),
        scopes: new Set(scopes),
        endsAtMs: exp * 1000,
        hasEnded: () => revokedTokens.has(jti),
        ...(limits && { limits }),
        ...(metadata && { metadata }),
      }
    },
  }
}

export type UploadTokens = ReturnType<typeof createUploadTokens>

/** Imports a key once for all tokens: with its bytes, verifying one takes twice the CPU (80 instead of 40 µs, measured). */
function importKey(bytes: Uint8Array<ArrayBuffer>) {
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify'])
}

/** Whether a token's header says that it is one of ours. Nothing of it is trusted: it only chooses who verifies it. */
function claimsToBeOurs(token: string): boolean {
  try {
    const { typ, kid } = decodeProtectedHeader(token)
    return typ === type || (typeof kid === 'string' && kid.startsWith(kidPrefix))
  } catch {
    return false
  }
}
