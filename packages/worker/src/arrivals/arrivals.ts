import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Processing } from '../processing/processing.ts'
import { createApplyCopiedManifest } from './apply-copied-manifest.ts'
import { createApplyErasure } from './apply-erasure.ts'
import { createEraseLateCopies } from './erase-late-copies.ts'
import { createExpireUnfinished } from './expire-unfinished.ts'
import { waitSeconds } from './message-leases.ts'
import { createObjectCreated, type StopOptions } from './object-created.ts'
import { createReconcile } from './reconcile.ts'
import { createReconcileSchedule } from './reconcile-schedule.ts'

/** The age in ms from which an original's event counts as lost. Events take a second or two. */
const reconcileMinAgeMs = 30_000
/**
 * The age in ms from which this region processes a copy that has no manifest, although the copy is from another region.
 * S3 copies most objects within 15 minutes, and the manifest is written last.
 */
const minCopyAgeMs = 30 * 60_000

/** How long `stop` may take with `waitForPoll`, in ms. */
export const maxPollWaitMs = waitSeconds * 1000

/**
 * Composes what turns originals in S3 into jobs: the relay of S3 events from SQS, and reconciliation for lost events. It
 * also finishes erasures, and if regions copy to each other, it applies their manifests.
 */
export function createArrivals(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  sqs: SQSClient
  queue: UploadQueue
  lifecycle: Lifecycle
  processing: Pick<Processing, 'finishUpload'>
  config: {
    eventsQueueUrl: string
    bucketReplicated: boolean
    arrivalLeaseMs: number
    maxQueuedJobs: number
    reconcileIntervalMs: number
  }
  log: Logger
}) {
  const { redis, prefix, s3, bucket, sqs, queue, config, log } = deps
  const { records, manifests, receiveUpload, finishErasure, eraseUnfinished } = deps.lifecycle
  const { finishUpload } = deps.processing
  const objectCreated = createObjectCreated({
    sqs,
    queueUrl: config.eventsQueueUrl,
    bucket,
    receiveUpload,
    queue,
    records,
    leaseMs: config.arrivalLeaseMs,
    maxHeld: config.maxQueuedJobs,
    minCopyAgeMs,
    applyErasure: createApplyErasure({ records, finishErasure }),
    applyCopiedManifest: config.bucketReplicated
      ? createApplyCopiedManifest({ manifests, finishUpload })
      : undefined,
    log,
  })
  const reconcileSchedule = createReconcileSchedule({
    redis,
    prefix,
    intervalMs: config.reconcileIntervalMs,
    reconcile: createReconcile({
      s3,
      bucket,
      receiveUpload,
      queue,
      minAgeMs: reconcileMinAgeMs,
      minCopyAgeMs,
      log,
    }),
    expireUnfinished: createExpireUnfinished({ s3, bucket, eraseUnfinished }),
    eraseLateCopies: createEraseLateCopies({ s3, bucket, records, finishErasure, log }),
    log,
  })

  return {
    start(): void {
      objectCreated.start()
      reconcileSchedule.start()
    },
    /**
     * Takes no new events and ends the reconciliation.
     * @param options.waitForPoll waits for the active request to SQS, so that no message stays invisible
     * @param options.drained until then the messages of unfinished uploads are held
     */
    async stop(options: StopOptions): Promise<void> {
      await Promise.all([objectCreated.stop(options), reconcileSchedule.stop()])
    },
  }
}
