import type { S3Client } from '@aws-sdk/client-s3'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Budget } from '@millrace/shared/network/budget.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Announcing } from '../announcing/announcing.ts'
import type { Api } from '../http/api.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { createReceiveChunk } from './tus-chunk.ts'
import { createTusLocks } from './tus-lock.ts'
import { createTusParts } from './tus-parts.ts'
import { createTusHandler } from './tus-protocol.ts'
import { tusRoutes } from './tus-routes.ts'
import { createUnsizedUploads } from './tus-unsized.ts'
import { createTusUploads } from './tus-uploads.ts'

/**
 * Adds `/tus`: uploads by the tus protocol.
 *
 * @param deps.streamingS3 the client for streamed bodies
 * @param deps.uploadsAtOnce counts the files that this instance receives
 * @param deps.closing aborts when this instance shuts down
 */
export function registerTus(
  scope: Api,
  deps: {
    redis: Redis
    subscriber: Subscriber
    prefix: string
    s3: S3Client
    streamingS3: S3Client
    bucket: string
    log: Logger
    lifecycle: Pick<
      Lifecycle,
      | 'records'
      | 'lookup'
      | 'quota'
      | 'sendParts'
      | 'receiveUpload'
      | 'isErased'
      | 'finishErasure'
      | 'eraseUnfinished'
    >
    announcing: Pick<Announcing, 'admitUpload' | 'multipartUploads'>
    uploads: Pick<Uploads, 'eraseUpload'>
    owner: RequestOwner
    uploadsAtOnce: Budget
    config: { maxUploadBytes: number; uploadIdleTimeoutMs: number; minUploadBytesPerSecond: number }
    closing: AbortSignal
  },
): void {
  const { redis, subscriber, prefix, s3, streamingS3, bucket, log, owner, closing } = deps
  const { records, lookup, quota, sendParts, receiveUpload, isErased, finishErasure, eraseUnfinished } =
    deps.lifecycle
  const { admitUpload, multipartUploads } = deps.announcing
  const { eraseUpload } = deps.uploads
  const { maxUploadBytes, uploadIdleTimeoutMs, minUploadBytesPerSecond } = deps.config
  const tusParts = createTusParts({ s3, streamingS3, bucket })
  const unsizedUploads = createUnsizedUploads({ records, quota, maxUploadBytes })
  const tusUploads = createTusUploads({
    lookup,
    admitUpload,
    multipartUploads,
    tusParts,
    unsizedUploads,
    receiveUpload,
    eraseUnfinished,
  })
  const handleTusRequest = createTusHandler({
    tusUploads,
    receiveChunk: createReceiveChunk({
      records,
      tusUploads,
      tusParts,
      unsizedUploads,
      sendParts,
      isErased,
      finishErasure,
    }),
    locks: createTusLocks({ redis, subscriber, prefix, log }),
    unsizedUploads,
    eraseUpload,
    maxUploadBytes,
  })
  tusRoutes(scope, {
    owner,
    handleTusRequest,
    uploadsAtOnce: deps.uploadsAtOnce,
    transferLimits: { idleTimeoutMs: uploadIdleTimeoutMs, minBytesPerSecond: minUploadBytesPerSecond },
    closing,
  })
}
