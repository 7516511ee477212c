import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createSweeper } from '@millrace/worker/reconciliation/reconciliation.ts'
import type { SweepLimits } from '@millrace/worker/reconciliation/sweep.ts'
import { newSweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import type { Redis } from 'ioredis'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

/** Nothing is too young, and nothing waits for its turn. */
export const testLimits = { minAgeMs: 0, pagesPerSecond: 1e6, checksPerSecond: 1e6 }

type Services = { redis: Redis; prefix: string; s3: S3Client; bucket: string; queue: UploadQueue }

/**
 * Runs a whole sweep now, as the schedule of a worker does.
 *
 * @param options.afterMs how long after now the run starts, for everything that depends on ages
 * @param options.limits by default nothing is too young, and nothing waits
 * @returns what it counted
 */
export async function sweepNow(
  services: Services,
  options: { afterMs?: number; limits?: Partial<SweepLimits>; isDryRun?: boolean; maxIds?: number } = {},
) {
  const { afterMs = 0, limits, ...rest } = options
  const { stateStore, sweep } = createTestSweeper(services, limits)
  const state = newSweepState(await stateStore.read(), Date.now() + afterMs)
  const save = rest.isDryRun ? async () => {} : stateStore.write
  const { findings } = await sweep({ state, save, signal: new AbortController().signal, ...rest })
  return { ...findings, counts: findings.counts() }
}

/** Composes a sweep and its state as a worker does. */
export function createTestSweeper(services: Services, limits: Partial<SweepLimits> = {}) {
  const log = createLog({ level: 'silent', instance: 'test' })
  const lifecycle = createTestLifecycle(services)
  return createSweeper({ ...services, lifecycle, log, limits: { ...testLimits, ...limits } })
}
