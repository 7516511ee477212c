import { randomUUID } from 'node:crypto'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { outboxTenantEnd, parseOutboxKey } from '@millrace/shared/ledger/object-keys.ts'
import { createRepeatedWork } from '@millrace/shared/service/repeated-work.ts'
import type { DeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** In ms. Renewed with every page, so a worker that dies blocks the others no longer than this. */
const leaseMs = 60_000

/** How often the outbox is listed, in ms: how late an event is whose job Redis lost. Half a dollar a month of requests. */
export const usualRelayIntervalMs = 30_000

/** How many pages of 1,000 events one pass lists. The next one continues there. */
const maxPages = 20

/**
 * Adds jobs for events in the outbox that have none: their writer died before it announced them, Redis lost them, or their
 * tenant had too many. One worker at a time does it.
 *
 *   {prefix}:outbox-relay   lease of the worker that relays
 *
 * @param deps.intervalMs time between two passes, in ms
 */
export function createOutboxRelay(deps: {
  redis: Redis
  prefix: string
  outbox: Pick<Outbox, 'list'>
  queue: Pick<DeliveryQueue, 'distribute' | 'withoutJob'>
  intervalMs: number
  log: Logger
}) {
  const { redis, prefix, outbox, queue, intervalMs, log } = deps
  const lease = createRedisLease({
    redis,
    key: `${prefix}:outbox-relay`,
    holder: randomUUID(),
    ttlMs: leaseMs,
  })
  /** Where the next pass begins; undefined: at the start. */
  let position: string | undefined

  const work = createRepeatedWork({
    pauseMs: intervalMs,
    async run(signal) {
      await relay(signal)
      return undefined
    },
    onFailed: (error) =>
      log.warn({ err: error, event: 'relay-failed' }, 'the outbox was not relayed, it is tried again'),
  })

  return {
    start: work.start,
    /** Ends a pass at its next page. */
    async stop(): Promise<void> {
      await work.stop()
      // If Redis does not respond, the lease expires.
      await lease.release().catch(() => undefined)
    },
  }

  async function relay(signal: AbortSignal): Promise<void> {
    let relayed = 0
    for (let pages = 0; pages < maxPages && !signal.aborted; pages++) {
      if (!(await lease.hold())) return
      const { entries, next } = await outbox.list({ after: position })
      const events = entries.flatMap(({ key }) => parseOutboxKey(key) ?? [])
      position = next
      for (const event of await queue.withoutJob(events)) {
        if (await queue.distribute(event)) relayed += 1
        // The tenant has as many events with jobs as it may have. The rest of its events is not even listed.
        else if (next !== undefined) position = later(position, outboxTenantEnd(event.tenantKey))
      }
      if (position === undefined) break
    }
    if (relayed > 0) log.info({ event: 'outbox-relayed', events: relayed }, 'webhook events got jobs again')
  }
}

export type OutboxRelay = ReturnType<typeof createOutboxRelay>

/** Returns the later of two keys in S3's order, which is that of their bytes. All are ASCII. */
function later(one: string | undefined, other: string): string {
  return one !== undefined && one > other ? one : other
}
