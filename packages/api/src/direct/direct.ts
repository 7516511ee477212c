import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Budget } from '@millrace/shared/network/budget.ts'
import type { Logger } from 'pino'
import type { Announcing } from '../announcing/announcing.ts'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { TokenUse } from '../tenants/token-use.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { createDirectUpload } from './direct-upload.ts'
import { directUploadRoutes } from './direct-upload-routes.ts'
import { createKeepUploadOpen } from './keep-upload-open.ts'
import { createReceiveFiles } from './receive-files.ts'
import { revertRoutes } from './revert-routes.ts'

/**
 * Adds `/upload`, which receives files and streams them to S3.
 *
 * @param deps.uploadsAtOnce counts the files that this instance receives
 */
export function registerDirectUpload(
  scope: Api,
  deps: {
    lifecycle: Pick<Lifecycle, 'records' | 'quota' | 'storeOriginal' | 'receiveUpload'>
    announcing: Pick<Announcing, 'admitUpload' | 'abortMultipartUploads' | 'withIdempotencyKey'>
    uploads: Pick<Uploads, 'eraseOwnUpload' | 'viewUpload'>
    owner: RequestOwner
    tokenUse: TokenUse
    uploadsAtOnce: Budget
    log: Logger
    config: { maxUploadBytes: number; uploadIdleTimeoutMs: number; minUploadBytesPerSecond: number }
  },
): void {
  const { records, quota, storeOriginal, receiveUpload } = deps.lifecycle
  const { admitUpload, abortMultipartUploads, withIdempotencyKey } = deps.announcing
  const { eraseOwnUpload, viewUpload } = deps.uploads
  const { maxUploadBytes, uploadIdleTimeoutMs, minUploadBytesPerSecond } = deps.config
  const directUpload = createDirectUpload({
    records,
    admitUpload,
    quota,
    tokenUse: deps.tokenUse,
    storeOriginal,
    abortMultipartUploads,
    receiveUpload,
    keepUploadOpen: createKeepUploadOpen({ records, quota, log: deps.log }),
    maxUploadBytes,
  })
  directUploadRoutes(scope, {
    receiveFiles: createReceiveFiles({
      withIdempotencyKey,
      directUpload,
      uploadsAtOnce: deps.uploadsAtOnce,
      viewUpload,
    }),
    transferLimits: { idleTimeoutMs: uploadIdleTimeoutMs, minBytesPerSecond: minUploadBytesPerSecond },
  })
  revertRoutes(scope, { owner: deps.owner, eraseOwnUpload })
}
