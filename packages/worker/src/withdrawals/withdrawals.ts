import { randomUUID } from 'node:crypto'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createRepeatedWork } from '@millrace/shared/service/repeated-work.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { InvalidateCdn } from './invalidate-cdn.ts'
import { createWithdrawVariants } from './withdraw-variants.ts'

/** In ms. Renewed with every batch, so a worker that dies blocks the others no longer than this. */
const leaseMs = 60_000

/** How often withdrawals are listed, in ms: how late a CDN's copies are invalidated. Half a dollar a month of requests. */
export const usualIntervalMs = 30_000

/**
 * Composes the withdrawal of variants that must not be served any more, on one worker at a time.
 *
 *   {prefix}:withdrawals   lease of the worker that withdraws
 *
 * @param deps.intervalMs time between two passes, in ms
 */
export function createWithdrawal(deps: {
  redis: Redis
  prefix: string
  lifecycle: Pick<Lifecycle, 'withdrawals' | 'manifests' | 'storedVariants'>
  config: { cdnDistributionId: string | undefined }
  intervalMs?: number
  log: Logger
}) {
  const { redis, prefix, lifecycle, intervalMs = usualIntervalMs, log } = deps
  const { cdnDistributionId } = deps.config
  const lease = createRedisLease({
    redis,
    key: `${prefix}:withdrawals`,
    holder: randomUUID(),
    ttlMs: leaseMs,
  })
  let cdn: InvalidateCdn | undefined

  const withdrawVariants = createWithdrawVariants({
    ...lifecycle,
    loadCdn: cdnDistributionId === undefined ? undefined : () => loadCdn(cdnDistributionId),
  })

  const work = createRepeatedWork({
    pauseMs: intervalMs,
    async run(signal) {
      if (await lease.hold()) await withdraw(signal)
      return undefined
    },
    onFailed: (error) =>
      log.warn({ err: error, event: 'withdrawal-failed' }, 'variants were not withdrawn, it is tried again'),
  })

  return {
    start: work.start,
    /** Ends a pass at its next batch. */
    async stop(): Promise<void> {
      await work.stop()
      // If Redis does not respond, the lease expires.
      await lease.release().catch(() => undefined)
      cdn?.close()
    },
  }

  /** Loaded at the first withdrawal: most workers never need it. */
  async function loadCdn(distributionId: string): Promise<InvalidateCdn> {
    if (cdn) return cdn
    const { createInvalidateCdn } = await import('./invalidate-cdn.ts')
    cdn = createInvalidateCdn(distributionId)
    return cdn
  }

  async function withdraw(signal: AbortSignal): Promise<void> {
    const counts = await withdrawVariants(async () => {
      signal.throwIfAborted()
      if (!(await lease.hold())) throw new Error('Another worker has taken the lease.')
    })
    if (counts.finished > 0) log.info({ event: 'variants-withdrawn', ...counts }, 'variants were withdrawn')
  }
}

export type Withdrawal = ReturnType<typeof createWithdrawal>
