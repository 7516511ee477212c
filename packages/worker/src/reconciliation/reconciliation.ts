import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createListedIds } from '@millrace/shared/uploads/listed-ids.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createSweep, type SweepAges } from './sweep.ts'
import { createSweepSchedule } from './sweep-schedule.ts'
import { createSweepStateStore } from './sweep-state.ts'

/**
 * Younger objects and records are left alone, in ms. An arrival has its SQS message until its manifest exists, and a message
 * whose work was lost comes back within minutes. A sweep that acted earlier would add work just when workers are behind.
 */
const minAgeMs = 60 * 60_000
/**
 * The age in ms from which this region processes a copy that has no manifest, although the copy is from another region.
 * S3 copies most objects within 15 minutes, and the manifest is written last.
 */
const minCopyAgeMs = 30 * 60_000
/** Unfinished originals get no jobs while this many wait: their SQS messages bring them back, or the next sweep does. */
const maxWaitingJobs = 5_000

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
 * @param deps.ages replaces the usual limits
 */
export function createSweeper(
  deps: ReconciliationDeps & { records?: UploadRecords; ages?: Partial<SweepAges> },
) {
  const { lifecycle, records = lifecycle.records, ages } = deps
  return {
    stateStore: createSweepStateStore(deps),
    sweep: createSweep({
      ...deps,
      records,
      listedIds: createListedIds(deps),
      maxWaitingJobs,
      minAgeMs,
      minCopyAgeMs,
      ...ages,
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
