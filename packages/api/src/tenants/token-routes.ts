import { leastMetadataBytes, objectMetadataLimitBytes } from '@millrace/shared/ledger/object-metadata.ts'
import { defaultPreset, type Presets } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { tenantKeyOf, UserId } from '@millrace/shared/uploads/owner.ts'
import { UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import { type Caller, TokenLimits } from '../credentials/caller.ts'
import type { RevokedTokens } from '../credentials/revoked-tokens.ts'
import {
  clockSkewSeconds,
  maxTokenLifeSeconds,
  TokenScope,
  type UploadTokens,
} from '../credentials/upload-tokens.ts'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'

/**
 * Longest token, in characters. It is one header of each request: some proxies accept 8 KiB of headers in all, and pages
 * send cookies and more.
 */
const maxTokenCharacters = 4_096

/**
 * What a token leaves of an object's metadata for the filename, the preset, SHA-256 and trace, and the client's own metadata,
 * in bytes. A filename of 255 UTF-16 units takes at most 694.
 */
const clientMetadataBytes = 896

const TokenRequest = Type.Object(
  {
    user: UserId,
    expiresIn: Type.Integer({
      minimum: 1,
      maximum: maxTokenLifeSeconds,
      description: 'seconds. The bearer needs the token until the last part of a file has arrived',
    }),
    scopes: Type.Array(TokenScope, { minItems: 1, maxItems: 2, uniqueItems: true }),
    ...TokenLimits.properties,
    metadata: Type.Optional(UploadMetadata),
  },
  { title: 'TokenRequest', additionalProperties: false },
)

export const TokenView = Type.Object(
  {
    token: Type.String({ description: "a bearer token for this user's browser" }),
    id: Type.String({ description: 'revokes the token; it is not secret' }),
    expiresAt: Type.String({ description: 'ISO 8601' }),
  },
  { title: 'UploadToken' },
)

/** The id in a path. It is any string, because an invalid id is a 404 like an unknown one. */
const TokenParams = Type.Object({ id: Type.String({ description: 'the id of a token' }) })

/**
 * `/tokens`: makes and revokes upload tokens, which a tenant's backend hands to its users' browsers. A caller that acts for
 * a user makes and revokes tokens of this user only.
 */
export function tokenRoutes(
  api: Api,
  deps: {
    uploadTokens: UploadTokens
    revokedTokens: Pick<RevokedTokens, 'revoke'>
    endedIdentities: Pick<EndedIdentities, 'publish'>
    tenantUsers: Pick<TenantUsers, 'record'>
    presets: Presets
  },
): void {
  const { uploadTokens, revokedTokens, endedIdentities, tenantUsers, presets } = deps
  const config = { scope: 'tokens' } as const

  api.post(
    '/tokens',
    { config, schema: { body: TokenRequest, response: { 201: TokenView } } },
    async (request, reply) => {
      const { tenant, user: actsFor } = callerOf(request)
      const { user, expiresIn, scopes, metadata, ...limits } = request.body
      if (actsFor !== undefined && actsFor !== user) {
        throw new AppError('forbidden', { message: 'The request acts for another user than `user`.' })
      }
      checkPresets(limits.presets)
      checkMetadata(metadata, limits)
      const made = await uploadTokens.make({
        ...{ tenant, user, scopes, metadata },
        expiresInSeconds: expiresIn,
        ...(Object.keys(limits).length > 0 && { limits }),
      })
      if (made.token.length > maxTokenCharacters) {
        throw new AppError('invalid_request', {
          message: `The token would have ${made.token.length} characters; the limit is ${maxTokenCharacters}.`,
          limit: maxTokenCharacters,
        })
      }
      // Before the user's first upload, which its browser may send at once.
      await tenantUsers.record(tenant, user)
      request.log.info({ event: 'token-made', tokenId: made.id }, 'upload token made')
      reply.code(201).header('cache-control', 'no-store')
      return made
    },
  )

  api.delete('/tokens/:id', { config, schema: { params: TokenParams } }, async (request, reply) => {
    const { id } = request.params
    const known = uploadTokens.readId(id)
    if (!known || !mayRevoke(callerOf(request), known.owner)) throw new AppError('token_not_found')
    if (known.endsAtMs + clockSkewSeconds * 1000 > Date.now()) {
      await revokedTokens.revoke(id)
      // After the revocation, so that each instance knows it when it checks what the token has opened.
      await endedIdentities.publish(known.owner)
    }
    request.log.info({ event: 'token-revoked', tokenId: id }, 'upload token revoked')
    return reply.code(204).send()
  })

  /** @throws AppError `preset_unknown` */
  function checkPresets(named: readonly string[] = []): void {
    const unknown = named.find((preset) => !presets.has(preset))
    if (unknown === undefined) return
    const names = [...presets.keys()].join(', ')
    throw new AppError('preset_unknown', {
      message: `presets has "${unknown}"; allowed: ${names}.`,
      fields: [{ field: 'presets', message: `must be of: ${names}` }],
    })
  }
}

function callerOf({ caller }: FastifyRequest): Caller {
  // `authorize` has refused the request already, unless the route's scope is wrong.
  if (!caller) throw new AppError('unauthenticated')
  return caller
}

function mayRevoke({ tenant, user, owner }: Caller, tokenOwner: string): boolean {
  return user === undefined ? tenantKeyOf(tokenOwner) === tenantKeyOf(tenant) : tokenOwner === owner
}

/**
 * S3 stores what a token says of a file together with what its bearer says.
 * @throws AppError `invalid_request` if little room is left for the bearer's part
 */
function checkMetadata(metadata: UploadMetadata | undefined, { accept }: TokenLimits): void {
  const storedBytes = leastMetadataBytes({
    ...{ filename: '', contentType: '', size: 0, preset: defaultPreset.name },
    ...(metadata && { metadata, stamped: Object.keys(metadata) }),
    ...(accept && { accept }),
  })
  const limit = objectMetadataLimitBytes - clientMetadataBytes
  if (storedBytes <= limit) return
  throw new AppError('invalid_request', {
    message: `metadata and accept are too long: S3 stores them with each file, and they may take ${limit} bytes, encoded.`,
    fields: [{ field: 'metadata', message: 'is too long' }],
    limit,
  })
}
