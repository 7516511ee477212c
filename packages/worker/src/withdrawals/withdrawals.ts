import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createRedisLease } from '@millrace/shared/service/redis-lease.ts'
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
  const stopping = new AbortController()
  let loop: Promise<void> = Promise.resolve()
  let cdn: InvalidateCdn | undefined

  const withdrawVariants = createWithdrawVariants({
    ...lifecycle,
    loadCdn: cdnDistributionId === undefined ? undefined : () => loadCdn(cdnDistributionId),
  })

  return {
    start(): void {
      loop = repeat()
    },
    /** Ends a pass at its next batch. */
    async stop(): Promise<void> {
      stopping.abort()
      await loop
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

  async function repeat(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        if (await lease.hold()) await withdraw()
      } catch (error) {
        if (!stopping.signal.aborted)
          log.warn(
            { err: error, event: 'withdrawal-failed' },
            'variants were not withdrawn, it is tried again',
          )
      }
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
    // If Redis does not respond, the lease expires.
    await lease.release().catch(() => undefined)
  }

  async function withdraw(): Promise<void> {
    const counts = await withdrawVariants(async () => {
      stopping.signal.throwIfAborted()
      if (!(await lease.hold())) throw new Error('Another worker has taken the lease.')
    })
    if (counts.finished > 0) log.info({ event: 'variants-withdrawn', ...counts }, 'variants were withdrawn')
  }
}

export type Withdrawal = ReturnType<typeof createWithdrawal>
