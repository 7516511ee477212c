import type { SQSClient } from '@aws-sdk/client-sqs'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Processing } from '../processing/processing.ts'
import { createApplyCopiedManifest } from './apply-copied-manifest.ts'
import { createApplyEdit } from './apply-edit.ts'
import { createApplyErasure } from './apply-erasure.ts'
import { waitSeconds } from './message-leases.ts'
import { createObjectCreated } from './object-created.ts'

/**
 * The age in ms from which this region processes a copy that has no manifest, although the copy is from another region.
 * S3 copies most objects within 15 minutes, and the manifest is written last.
 */
const minCopyAgeMs = 30 * 60_000

/** How long `stop` may take with `waitForPoll`, in ms. */
export const maxPollWaitMs = waitSeconds * 1000

/**
 * Composes what turns originals in S3 into jobs: the relay of S3 events from SQS. It also finishes erasures and edits, and if regions
 * copy to each other, it applies their manifests.
 */
export function createArrivals(deps: {
  redis: Redis
  prefix: string
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
  }
  log: Logger
}) {
  const { bucket, sqs, queue, config, log } = deps
  const { records, manifests, receiveUpload, finishErasure, edits, lookup } = deps.lifecycle
  const { finishUpload } = deps.processing
  return createObjectCreated({
    sqs,
    queueUrl: config.eventsQueueUrl,
    bucket,
    receiveUpload,
    queue,
    records,
    leaseMs: config.arrivalLeaseMs,
    maxHeld: config.maxQueuedJobs,
    minCopyAgeMs,
    failures: createArrivalFailures(deps),
    applyErasure: createApplyErasure({ records, finishErasure }),
    applyEdit: createApplyEdit({ edits, lookup, records }),
    applyCopiedManifest: config.bucketReplicated
      ? createApplyCopiedManifest({ manifests, finishUpload })
      : undefined,
    log,
  })
}
