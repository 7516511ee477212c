import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createListedIds } from '@millrace/shared/uploads/listed-ids.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createSweep, type SweepLimits } from './sweep.ts'
import { createSweepSchedule } from './sweep-schedule.ts'
import { createSweepStateStore } from './sweep-state.ts'

const usualLimits: SweepLimits = {
  // An arrival has its SQS message until its manifest exists, and a message whose work was lost comes back within minutes.
  // A sweep that acted earlier would add work just when workers are behind.
  // A copy of another region is left to that region as long: S3 copies most objects within 15 minutes, the manifest last.
  minAgeMs: 60 * 60_000,
  // What gets no job now has its SQS message, or is found by the next sweep.
  maxWaitingJobs: 5_000,
  // S3 takes about 0.1 s for a page of 1,000 keys, so one lister reads hardly more. At this rate 100 million uploads are
  // listed in under six hours (decision 0024), with a five-hundredth of the requests that S3 allows for one prefix (5,500
  // GET, HEAD and LIST a second).
  pagesPerSecond: 10,
  // Each is one to six requests to S3, and at most one job.
  checksPerSecond: 50,
}

export type ReconciliationDeps = {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  queue: UploadQueue
  lifecycle: Lifecycle
  log: Logger
}

/**
 * Composes the sweep and its state, for the schedule and for the command.
 *
 * @param deps.records replaces the records of `lifecycle`
 * @param deps.limits replaces some of the usual limits
 */
export function createSweeper(
  deps: ReconciliationDeps & { records?: UploadRecords; limits?: Partial<SweepLimits> },
) {
  const { lifecycle, records = lifecycle.records, limits } = deps
  return {
    stateStore: createSweepStateStore(deps),
    sweep: createSweep({
      ...deps,
      records,
      index: createUploadIndex(deps),
      listedIds: createListedIds(deps),
      ...usualLimits,
      ...limits,
    }),
  }
}

/** Composes the daily sweep over the whole bucket: the last resort for what events, leases and look-ups have missed. */
export function createReconciliation(deps: ReconciliationDeps & { config: { reconcileIntervalMs: number } }) {
  return createSweepSchedule({
    ...deps,
    ...createSweeper(deps),
    intervalMs: deps.config.reconcileIntervalMs,
  })
}
