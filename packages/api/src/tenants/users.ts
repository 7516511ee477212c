import type { S3Client } from '@aws-sdk/client-s3'
import { createListOwnerContents } from '@millrace/shared/ledger/list-owner-contents.ts'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { createEraseUser } from '@millrace/shared/lifecycle/erase-user.ts'
import type { QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { createUserErasures } from '@millrace/shared/tenants/user-erasures.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import { createCountUsage } from './count-usage.ts'
import { createRunUserErasures } from './run-user-erasures.ts'
import { createUsageCounts } from './usage-counts.ts'
import { usageRoutes } from './usage-routes.ts'
import { userRoutes } from './user-routes.ts'

/**
 * Adds what the administrator of a tenant does: list and erase its users, and see what they use.
 *
 * @param deps.eraseUpload erases one upload
 * @param deps.closing aborts when this instance shuts down
 */
export function registerUsers(
  scope: Api,
  deps: {
    redis: Redis
    prefix: string
    s3: S3Client
    bucket: string
    log: Logger
    tenantUsers: TenantUsers
    eraseUpload: EraseUpload
    endedIdentities: EndedIdentities
    closing: AbortSignal
    config: { quota: QuotaLimits }
  },
): void {
  const { tenantUsers: users, endedIdentities } = deps
  const listOwnerContents = createListOwnerContents(deps)
  const index = createUploadIndex(deps)
  const userErasures = createUserErasures(deps)
  // All instances must record a user again that comes back.
  endedIdentities.onEnded((owner) => {
    if (owner !== undefined) users.forget(owner)
  })
  const eraseUser = createEraseUser({
    ...deps,
    listOwnerContents,
    index,
    users,
    userErasures,
    onErased: endedIdentities.publish,
  })
  const runUserErasures = createRunUserErasures({
    ...deps,
    users,
    userErasures,
    listOwnerContents,
    index,
    eraseUser,
  })
  scope.addHook('onListen', () => {
    void runUserErasures.keepResuming()
  })
  userRoutes(scope, { users, runUserErasures })
  usageRoutes(scope, {
    users,
    countUsage: createCountUsage(deps),
    usageCounts: createUsageCounts(deps),
    quota: deps.config.quota,
  })
}
