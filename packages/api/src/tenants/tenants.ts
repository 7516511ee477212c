import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import type { KeyStore } from '@millrace/shared/tenants/key-store.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { Redis } from 'ioredis'
import type { KeyUses } from '../credentials/key-uses.ts'
import type { RevokedTokens } from '../credentials/revoked-tokens.ts'
import type { StoredKeys } from '../credentials/stored-keys.ts'
import type { UploadTokens } from '../credentials/upload-tokens.ts'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import { keyRoutes } from './key-routes.ts'
import { tokenRoutes } from './token-routes.ts'
import { createTokenUse } from './token-use.ts'

/**
 * Composes what a tenant's backend does: its API keys and the upload tokens of its users.
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
  keyStore: KeyStore
  keyUses: KeyUses
  storedKeys: StoredKeys
  config: { presets: Presets }
}) {
  const { redis, prefix, lifecycle, config } = deps
  return {
    tokenUse: createTokenUse({ redis, prefix, lookup: lifecycle.lookup }),
    register(scope: Api): void {
      keyRoutes(scope, deps)
      tokenRoutes(scope, { ...deps, presets: config.presets })
    },
  }
}
