import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createSweeper } from '@millrace/worker/reconciliation/reconciliation.ts'
import type { SweepAges } from '@millrace/worker/reconciliation/sweep.ts'
import { newSweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import type { Redis } from 'ioredis'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

type Services = { redis: Redis; prefix: string; s3: S3Client; bucket: string; queue: UploadQueue }

/**
 * Runs a whole sweep now, as the schedule of a worker does.
 *
 * @param options.afterMs how long after now the run starts, for everything that depends on ages
 * @param options.ages by default nothing is too young
 * @returns what it counted
 */
export async function sweepNow(
  services: Services,
  options: { afterMs?: number; ages?: Partial<SweepAges>; isDryRun?: boolean; maxIds?: number } = {},
) {
  const { afterMs = 0, ages, ...rest } = options
  const { stateStore, sweep } = createTestSweeper(services, ages)
  const state = newSweepState(await stateStore.read(), Date.now() + afterMs)
  const save = rest.isDryRun ? async () => {} : stateStore.write
  const { findings } = await sweep({ state, save, signal: new AbortController().signal, ...rest })
  return { ...findings, counts: findings.counts() }
}

/** Composes a sweep and its state as a worker does. */
export function createTestSweeper(services: Services, ages: Partial<SweepAges> = {}) {
  const log = createLog({ level: 'silent', instance: 'test' })
  const lifecycle = createTestLifecycle(services)
  return createSweeper({ ...services, lifecycle, log, ages: { minAgeMs: 0, minCopyAgeMs: 0, ...ages } })
}
