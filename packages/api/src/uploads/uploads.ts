import type { S3Client } from '@aws-sdk/client-s3'
import type { ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import { createListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createAbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import {
  createUnfinishedUploads,
  type UnfinishedLimits,
} from '@millrace/shared/uploads/unfinished-uploads.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createAdmitUpload } from '../announcements/admit-upload.ts'
import { createIntentCheck } from '../announcements/check-intent.ts'
import { createCompleteUpload } from '../announcements/complete-upload.ts'
import { createFindLostId } from '../announcements/find-lost-id.ts'
import { createRespondOnce, createWithIdempotencyKey } from '../announcements/idempotency-key.ts'
import { createMultipartUploads } from '../announcements/multipart-uploads.ts'
import { createNameNetworks } from '../announcements/name-networks.ts'
import { createStartImport } from '../announcements/start-import.ts'
import { createStartUpload } from '../announcements/start-upload.ts'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { createCompleteIndex } from '../listing/complete-index.ts'
import { createListUploads } from '../listing/list-uploads.ts'
import { createListedOwner } from '../listing/listed-owner.ts'
import { createNewestIds } from '../listing/newest-ids.ts'
import { createOldestIds } from '../listing/oldest-ids.ts'
import type { Signing } from '../signing/signing.ts'
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
 * Composes `/uploads`: announces, completes, lists, reprocesses and erases uploads.
 *
 * @param deps.closing aborts when this instance shuts down
 * @returns the functions that other ways to upload share, and `register`, which adds the routes
 */
export function createUploads(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  log: Logger
  lifecycle: Lifecycle
  queues: { queue: UploadQueue; imports: ImportQueue }
  signing: Signing
  owner: RequestOwner
  tokenUse: TokenUse
  closing: AbortSignal
  config: {
    presets: Presets
    maxUploadBytes: number
    publicPath: string
    importAllowedPorts: readonly number[]
    unfinishedUploads: UnfinishedLimits
    /** The first key names networks, as it seals cookies. */
    sessionKeys: readonly Buffer[]
  }
}) {
  const { redis, prefix, s3, bucket, log, queues, signing, owner, tokenUse, closing, config } = deps
  const { records, lookup, originals, manifests, quota, addressQuota, receiveUpload, epoch } = deps.lifecycle
  const { redisMemory, announcements, edits, erasures, listErasable, finishErasure, isErased } =
    deps.lifecycle
  const { presets, maxUploadBytes } = config
  const { signForm, signPut, signatureLifeMs } = signing
  const checkIntent = createIntentCheck({ presets, maxUploadBytes })
  const multipartUploads = createMultipartUploads({ s3, bucket, signer: signing.signer })
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })
  const admitUpload = createAdmitUpload({
    redisMemory,
    records,
    checkIntent,
    unfinished: createUnfinishedUploads({ redis, prefix, limits: config.unfinishedUploads }),
    quota,
    addressQuota,
    tokenUse,
    nameNetworks: createNameNetworks({ key: config.sessionKeys[0] ?? Buffer.alloc(0) }),
    originals,
    multipartUploads,
    abortMultipartUploads,
    announcements,
    log,
  })
  const completeUpload = createCompleteUpload({ lookup, multipartUploads, receiveUpload, announcements })
  const index = createUploadIndex({ redis, prefix })
  const listUploadIds = createListUploadIds({ s3, bucket })
  const completeIndex = createCompleteIndex({ redis, prefix, index, listUploadIds, log, closing })
  const listOldestUploadIds = createListOldestUploadIds({ s3, bucket })
  const listUploads = createListUploads({
    index,
    newestIds: createNewestIds({ index, epoch, completeIndex, listUploadIds }),
    oldestIds: createOldestIds({ index, epoch, completeIndex, listOldestUploadIds }),
    lookup,
  })
  const findOwnUpload = createFindOwnUpload({ owner, lookup })
  const withIdempotencyKey = createWithIdempotencyKey({
    owner,
    respondOnce: createRespondOnce({
      redis,
      prefix,
      epoch,
      findLostId: createFindLostId({ s3, bucket, log }),
    }),
    records,
    receiveUpload,
    isErased,
  })
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
    admitUpload,
    abortMultipartUploads,
    multipartUploads,
    completeUpload,
    eraseUpload,
    eraseOwnUpload,
    listUploads,
    findOwnUpload,
    withIdempotencyKey,
    viewUpload,
    register(scope: Api): void {
      uploadRoutes(scope, {
        listedOwner: createListedOwner({ owner }),
        findOwnUpload,
        withIdempotencyKey,
        startUpload: createStartUpload({ admitUpload, signForm, signPut, signatureLifeMs, multipartUploads }),
        startImport: createStartImport({
          admitUpload,
          imports: queues.imports,
          allowedPorts: config.importAllowedPorts,
        }),
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
