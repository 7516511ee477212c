import type { ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import type { Announcing } from '../announcing/announcing.ts'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Listing } from '../listing/listing.ts'
import type { TokenUse } from '../tenants/token-use.ts'
import { bulkRoutes } from './bulk-routes.ts'
import { editRoutes } from './edit-routes.ts'
import { createEditUpload } from './edit-upload.ts'
import { createEraseOwnUpload } from './erase-own-upload.ts'
import { eraseRoutes } from './erase-routes.ts'
import { evidenceRoutes } from './evidence-routes.ts'
import { createFindOwnUpload } from './find-own-upload.ts'
import { partRoutes } from './part-routes.ts'
import { presetRoutes } from './preset-routes.ts'
import { createReprocessOutdated } from './reprocess-outdated.ts'
import { reprocessRoutes } from './reprocess-routes.ts'
import { createReprocessUpload } from './reprocess-upload.ts'
import { uploadRoutes } from './upload-routes.ts'
import { createViewUpload } from './upload-view.ts'

/**
 * Composes `/uploads`: announces, completes, lists, changes, reprocesses and erases uploads.
 *
 * @returns the functions that other ways to upload share, and `register`, which adds the routes
 */
export function createUploads(deps: {
  lifecycle: Lifecycle
  announcing: Announcing
  listing: Listing
  queues: { queue: UploadQueue; imports: ImportQueue }
  owner: RequestOwner
  tokenUse: TokenUse
  config: { presets: Presets; publicPath: string }
}) {
  const { announcing, queues, owner, tokenUse, config } = deps
  const { records, lookup, originals, manifests, edits, erasures } = deps.lifecycle
  const { listErasable, finishErasure, isErased } = deps.lifecycle
  const { withIdempotencyKey, startUpload, startImport, multipartUploads, completeUpload } = announcing
  const { listUploads, listedOwner } = deps.listing
  const { presets } = config
  const findOwnUpload = createFindOwnUpload({ owner, lookup })
  const eraseUpload = createEraseUpload({
    records,
    ...queues,
    listErasable,
    erasures,
    finishErasure,
    onErased: tokenUse.onErased,
  })
  const eraseOwnUpload = createEraseOwnUpload({ lookup, isErased, eraseUpload })
  const viewUpload = createViewUpload(config.publicPath)

  return {
    eraseUpload,
    eraseOwnUpload,
    findOwnUpload,
    viewUpload,
    register(scope: Api): void {
      uploadRoutes(scope, {
        listedOwner,
        findOwnUpload,
        withIdempotencyKey,
        startUpload,
        startImport,
        listUploads,
        viewUpload,
      })
      evidenceRoutes(scope, { findOwnUpload, manifests })
      presetRoutes(scope, { presets })
      partRoutes(scope, { findOwnUpload, multipartUploads, completeUpload, viewUpload })
      reprocessRoutes(scope, {
        findOwnUpload,
        viewUpload,
        reprocessUpload: createReprocessUpload({
          records,
          originals,
          manifests,
          queue: queues.queue,
          presets,
        }),
      })
      editRoutes(scope, {
        findOwnUpload,
        viewUpload,
        editUpload: createEditUpload({ edits, erasures, records, lookup, finishErasure }),
      })
      eraseRoutes(scope, { owner, eraseOwnUpload })
      bulkRoutes(scope, {
        owner,
        lookup,
        listUploads,
        eraseOwnUpload,
        reprocessOutdated: createReprocessOutdated({
          originals,
          manifests,
          queue: queues.queue,
          presets,
        }),
        queue: queues.queue,
      })
    },
  }
}

export type Uploads = ReturnType<typeof createUploads>
