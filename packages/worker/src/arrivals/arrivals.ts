import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Logger } from 'pino'
import type { Processing } from '../processing/processing.ts'
import { createApplyCopiedManifest } from './apply-copied-manifest.ts'
import { createApplyErasure } from './apply-erasure.ts'
import { createObjectCreated, waitSeconds } from './object-created.ts'

/** How long `stop` may take with `waitForPoll`, in ms. */
export const maxPollWaitMs = waitSeconds * 1000

/**
 * Composes what turns originals in S3 into jobs: the relay of S3 events from SQS. It also finishes erasures, and if regions
 * copy to each other, it applies their manifests.
 */
export function createArrivals(deps: {
  bucket: string
  sqs: SQSClient
  lifecycle: Lifecycle
  processing: Pick<Processing, 'finishUpload'>
  config: { eventsQueueUrl: string; bucketReplicated: boolean }
  log: Logger
}) {
  const { bucket, sqs, config, log } = deps
  const { records, manifests, receiveUpload, finishErasure } = deps.lifecycle
  const { finishUpload } = deps.processing
  return createObjectCreated({
    sqs,
    queueUrl: config.eventsQueueUrl,
    bucket,
    receiveUpload,
    applyErasure: createApplyErasure({ records, finishErasure }),
    applyCopiedManifest: config.bucketReplicated
      ? createApplyCopiedManifest({ manifests, finishUpload })
      : undefined,
    log,
  })
}
