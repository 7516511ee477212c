import type { S3Client } from '@aws-sdk/client-s3'
import type { ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createAbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import {
  createUnfinishedUploads,
  type UnfinishedLimits,
} from '@millrace/shared/uploads/unfinished-uploads.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Signing } from '../signing/signing.ts'
import type { TokenUse } from '../tenants/token-use.ts'
import { createAdmitUpload } from './admit-upload.ts'
import { createIntentCheck } from './check-intent.ts'
import { createCompleteUpload } from './complete-upload.ts'
import { createFindLostId } from './find-lost-id.ts'
import { createRespondOnce, createWithIdempotencyKey } from './idempotency-key.ts'
import { createMultipartUploads } from './multipart-uploads.ts'
import { createNameNetworks } from './name-networks.ts'
import { createStartImport } from './start-import.ts'
import { createStartUpload } from './start-upload.ts'

/**
 * Composes how an upload begins, until S3 has its bytes: what an announcement must be, admission by quotas and limits, one
 * upload for each `Idempotency-Key`, and the form, the parts or the import that bring the bytes.
 *
 * @returns the functions that `/uploads` and the other ways to upload share
 */
export function createAnnouncing(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  log: Logger
  lifecycle: Lifecycle
  queues: { imports: ImportQueue }
  signing: Signing
  owner: RequestOwner
  tokenUse: TokenUse
  config: {
    presets: Presets
    maxUploadBytes: number
    importAllowedPorts: readonly number[]
    unfinishedUploads: UnfinishedLimits
    /** The first key names networks, as it seals cookies. */
    sessionKeys: readonly Buffer[]
  }
}) {
  const { redis, prefix, s3, bucket, log, queues, signing, owner, tokenUse, config } = deps
  const { records, lookup, originals, quota, addressQuota, receiveUpload, epoch } = deps.lifecycle
  const { redisMemory, announcements, isErased } = deps.lifecycle
  const { presets, maxUploadBytes } = config
  const { signForm, signPut, signatureLifeMs } = signing
  const multipartUploads = createMultipartUploads({ s3, bucket, signer: signing.signer })
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })
  const admitUpload = createAdmitUpload({
    redisMemory,
    records,
    checkIntent: createIntentCheck({ presets, maxUploadBytes }),
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

  return {
    admitUpload,
    multipartUploads,
    abortMultipartUploads,
    completeUpload: createCompleteUpload({ lookup, multipartUploads, receiveUpload, announcements }),
    withIdempotencyKey: createWithIdempotencyKey({
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
    }),
    startUpload: createStartUpload({ admitUpload, signForm, signPut, signatureLifeMs, multipartUploads }),
    startImport: createStartImport({
      admitUpload,
      imports: queues.imports,
      allowedPorts: config.importAllowedPorts,
    }),
  }
}

export type Announcing = ReturnType<typeof createAnnouncing>
