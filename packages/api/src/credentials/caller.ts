import { acceptPattern, PresetName } from '@millrace/shared/presets/preset.ts'
import Type, { type Static } from 'typebox'

/** What a request may do. */
export const Scope = Type.Union([
  Type.Literal('uploads:read'),
  Type.Literal('uploads:write'),
  Type.Literal('act-as', { description: 'name a user of the tenant in `Millrace-User`' }),
  Type.Literal('tokens', { description: 'make upload tokens for users of the tenant' }),
  Type.Literal('tenant', {
    description: 'administer the tenant: its keys, webhooks and users, and what they use',
  }),
  Type.Literal('admin', { description: 'operate the service; includes `tenant`' }),
])
export type Scope = Static<typeof Scope>

const Count = (description: string) =>
  Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description })

/** Limits of an upload token. What is absent is not limited. */
export const TokenLimits = Type.Object(
  {
    maxFileBytes: Type.Optional(Count('size of each file, in bytes')),
    maxFiles: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description:
          'number of all files with this token. 0: the bearer announces none, and only goes on with what its user has announced',
      }),
    ),
    maxBytes: Type.Optional(Count('size of all files with this token together, in bytes')),
    accept: Type.Optional(
      Type.Array(Type.String({ pattern: acceptPattern }), {
        minItems: 1,
        maxItems: 32,
        description: 'media types such as `image/png`, or all of a kind such as `image/*`',
      }),
    ),
    presets: Type.Optional(
      Type.Array(PresetName, { minItems: 1, maxItems: 32, description: 'presets that it may name' }),
    ),
  },
  { additionalProperties: false },
)
export type TokenLimits = Static<typeof TokenLimits>

/**
 * Who sent a request, if it proves it: by an API key, by an upload token of ours, by a JWT of the team's identity provider,
 * or by a session that was signed in with one of these. A request without a caller may have a session of its own.
 */
export type Caller = {
  kind: 'key' | 'token' | 'jwt'
  /** Distinguishes credentials of one owner, for rate limits and logs: `key-…`, `token-…`, `jwt-…`. Not secret. */
  id: string
  /** The id of the API key that acts for a user; `id` is another one for each user. */
  keyId?: string
  tenant: string
  /** The tenant's user that it acts for; undefined: the tenant itself. */
  user: string | undefined
  /** Whose uploads it has: the tenant's name, or `userOwner(tenant, user)`. */
  owner: string
  scopes: ReadonlySet<Scope>
  /** When the credential ends, in ms since 1970; undefined: never. */
  endsAtMs: number | undefined
  /** Whether it was revoked since. */
  hasEnded(): Promise<boolean>
  /** What an upload token allows; undefined: no limits of its own. */
  limits?: TokenLimits
  /** What is stamped on each upload; the bearer cannot change it. */
  metadata?: Readonly<Record<string, string>>
}

/**
 * Finds the caller of a bearer token.
 * @returns undefined if the token is not of this kind, so that another kind is tried
 * @throws AppError `token_invalid`, `token_expired`, `token_revoked` if it is of this kind and not valid
 */
export type FindCaller = (token: string) => Promise<Caller | undefined> | Caller | undefined

/** Tries each kind of bearer token. @throws AppError as the finder whose kind it is */
export async function findFirst(finders: readonly FindCaller[], token: string): Promise<Caller | undefined> {
  for (const find of finders) {
    const caller = await find(token)
    if (caller) return caller
  }
  return undefined
}

/** Whether a caller has a scope. `admin` includes `tenant`. */
export function hasScope({ scopes }: Pick<Caller, 'scopes'>, scope: Scope): boolean {
  return scopes.has(scope) || (scope === 'tenant' && scopes.has('admin'))
}
