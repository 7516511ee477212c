import { ServiceUrl } from '@millrace/shared/config/service-variables.ts'
import { type ReportProblem, splitList } from '@millrace/shared/service/environment.ts'
import { TenantName } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Scope } from './caller.ts'

const tenantName = Compile(TenantName)

/** HS256 needs a key as long as its hash (RFC 7518, 3.2), in bytes. */
const minSecretBytes = 32
/** What users may do. A frontend's token never administers anything: that is what API keys are for. */
const userScopes: readonly Scope[] = ['uploads:read', 'uploads:write']

const ClaimName = {
  pattern: '^\\S{1,256}$',
  description: 'the name of a claim, or its path with dots',
  showValue: true,
}

/** The variables that describe a team's own identity provider (docs/identity.md). */
export const jwtVariables = {
  JWT_JWKS_URL: Type.Optional(ServiceUrl),
  JWT_SECRET: Type.Optional(
    Type.Refine(
      Type.String({ description: `a secret text of at least ${minSecretBytes} bytes, not a PEM` }),
      (text) => Buffer.byteLength(text) >= minSecretBytes && !text.trimStart().startsWith('-----BEGIN'),
    ),
  ),
  JWT_ISSUER: Type.Optional(Type.String()),
  JWT_AUDIENCE: Type.Optional(
    Type.Refine(
      Type.String({ description: 'at least one audience, comma separated' }),
      (text) => splitList(text).length > 0,
    ),
  ),
  JWT_AUDIENCE_CLAIM: Type.Enum(['aud', 'azp', 'client_id'], { default: 'aud' }),
  JWT_TENANT: Type.Optional(
    Type.Refine(
      Type.String({
        description:
          'up to 63 lower-case letters, digits and dashes, not beginning with a dash, "s-" or "u-"',
        showValue: true,
      }),
      (text) => tenantName.Check(text),
    ),
  ),
  JWT_TENANT_CLAIM: Type.Optional(Type.String(ClaimName)),
  JWT_USER_CLAIM: Type.String({ default: 'sub', ...ClaimName }),
  JWT_SCOPES: Type.Refine(
    Type.String({
      default: userScopes.join(','),
      description: `one or more of ${userScopes.join(', ')}, comma separated`,
      showValue: true,
    }),
    (text) => {
      const scopes = splitWords(text)
      return scopes.length > 0 && scopes.every((scope) => userScopes.some((allowed) => allowed === scope))
    },
  ),
  JWT_SCOPES_CLAIM: Type.Optional(Type.String(ClaimName)),
}
type JwtVariables = typeof jwtVariables
type VariableName = keyof JwtVariables

/** What the variables of a source require. */
export const jwtDependencies = {
  JWT_JWKS_URL: ['JWT_ISSUER', 'JWT_AUDIENCE'],
  JWT_SECRET: ['JWT_ISSUER', 'JWT_AUDIENCE'],
} satisfies Partial<Record<VariableName, VariableName[]>>

/** Whose JWTs are accepted, and what they say. */
export type JwtSettings = {
  /** Public keys of the provider; undefined: it has a secret only. */
  jwksUrl: string | undefined
  /** For HS256; undefined: it has public keys only. */
  secret: string | undefined
  issuer: string
  /** One of these must be in the audience claim. */
  audiences: string[]
  audienceClaim: Static<JwtVariables['JWT_AUDIENCE_CLAIM']>
  /** The tenant of all users, or the claim that names it. */
  tenant: { name: string } | { claim: string }
  userClaim: string
  /** What a JWT may do at most. */
  scopes: Scope[]
  /** The claim that narrows the scopes; undefined: each JWT has all of them. */
  scopesClaim: string | undefined
}

/**
 * Reads what the schema of the variables cannot say.
 *
 * @param read returns the text of a variable or its default
 * @param report receives one sentence per contradiction
 * @returns undefined if no source of keys is set, or if a required variable is missing
 */
export function readJwtSettings(
  read: (name: VariableName) => string | undefined,
  report: ReportProblem,
): JwtSettings | undefined {
  const [jwksUrl, secret, issuer] = [read('JWT_JWKS_URL'), read('JWT_SECRET'), read('JWT_ISSUER')]
  const [tenantName, tenantClaim] = [read('JWT_TENANT'), read('JWT_TENANT_CLAIM')]
  const source = jwksUrl === undefined ? 'JWT_SECRET' : 'JWT_JWKS_URL'
  if (jwksUrl === undefined && secret === undefined) {
    // A provider that is half configured must not look as if it were.
    for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_TENANT', 'JWT_TENANT_CLAIM'] as const) {
      if (read(name) !== undefined)
        report(`${name} is set, but neither JWT_JWKS_URL nor JWT_SECRET is; one is required.`)
    }
    return undefined
  }
  if (tenantName !== undefined && tenantClaim !== undefined) {
    report('JWT_TENANT and JWT_TENANT_CLAIM are both set; allowed: one of them.')
  }
  const tenant =
    tenantClaim !== undefined
      ? { claim: tenantClaim }
      : tenantName !== undefined
        ? { name: tenantName }
        : undefined
  if (!tenant) report(`JWT_TENANT or JWT_TENANT_CLAIM is missing; ${source} requires one of them.`)
  if (issuer === undefined || !tenant) return undefined
  const scopes = splitWords(read('JWT_SCOPES') ?? '')
  return {
    jwksUrl,
    secret,
    issuer,
    audiences: splitList(read('JWT_AUDIENCE') ?? ''),
    audienceClaim: audienceClaimOf(read('JWT_AUDIENCE_CLAIM')),
    tenant,
    userClaim: read('JWT_USER_CLAIM') ?? 'sub',
    scopes: userScopes.filter((scope) => scopes.includes(scope)),
    scopesClaim: read('JWT_SCOPES_CLAIM'),
  }
}

function audienceClaimOf(text: string | undefined): JwtSettings['audienceClaim'] {
  return text === 'azp' || text === 'client_id' ? text : 'aud'
}

/** Splits a text at spaces and commas. Scopes of OAuth have spaces between, our variables have commas. */
export function splitWords(text: string): string[] {
  return text.split(/[ ,]/).filter((word) => word !== '')
}
