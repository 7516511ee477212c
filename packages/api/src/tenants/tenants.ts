import type { KeyStore } from '@millrace/shared/tenants/key-store.ts'
import type { Api } from '../http/api.ts'
import type { KeyUses } from '../identity/key-uses.ts'
import type { StoredKeys } from '../identity/stored-keys.ts'
import { keyRoutes } from './key-routes.ts'

/** Adds what the administrator of a tenant does: its API keys. */
export function registerTenants(
  scope: Api,
  deps: { keyStore: KeyStore; keyUses: KeyUses; storedKeys: StoredKeys },
): void {
  keyRoutes(scope, deps)
}
