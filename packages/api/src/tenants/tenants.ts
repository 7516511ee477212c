import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import type { RevokedTokens } from '../identity/revoked-tokens.ts'
import type { UploadTokens } from '../identity/upload-tokens.ts'
import { tokenRoutes } from './token-routes.ts'
import { createTokenUse } from './token-use.ts'

/**
 * Composes what a tenant's backend does: the upload tokens of its users.
 *
 * @returns `tokenUse`, which counts the files of tokens; and `register`, which adds the routes
 */
export function createTenants(deps: {
  redis: Redis
  prefix: string
  lifecycle: Pick<Lifecycle, 'lookup'>
  uploadTokens: UploadTokens
  revokedTokens: RevokedTokens
  endedIdentities: EndedIdentities
  tenantUsers: TenantUsers
  config: { presets: Presets }
}) {
  const { redis, prefix, lifecycle, config } = deps
  return {
    tokenUse: createTokenUse({ redis, prefix, lookup: lifecycle.lookup }),
    register(scope: Api): void {
      tokenRoutes(scope, { ...deps, presets: config.presets })
    },
  }
}
