import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import type { ListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadKeys } from '@millrace/shared/uploads/upload-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** In ms. Renewed with every window, so an instance that dies blocks the others no longer than this. */
const leaseMs = 30_000
/** How often an instance asks whether another one has listed the newest uploads, in ms. */
const pollMs = 50
/** How long it asks, in ms. */
const maxPollMs = 2_000
/** The newest uploads: as many as the longest page of a list, and some that are no longer there. */
const newestIds = 250

/**
 * Completes owners' indexes from S3 in the background: once for the fleet, and once for all requests of an instance.
 * The newest ids come first, so that the first pages are right soon.
 *
 * @param deps.closing aborts when the instance shuts down. Another one continues after the next window
 */
export function createCompleteIndex(deps: {
  redis: Redis
  prefix: string
  index: UploadIndex
  listUploadIds: ListUploadIds
  log: Pick<Logger, 'warn'>
  closing?: AbortSignal
}) {
  const { redis, prefix, index, listUploadIds, log, closing } = deps
  const keys = createUploadKeys(prefix)
  const runs = new Map<string, Promise<void>>()

  /**
   * Completes an owner's index, or continues if an instance that did so has died. Calls share one run.
   *
   * @param epoch the current epoch of Redis
   * @returns resolves once the newest ids are in the index. Older ones follow
   * @throws whatever S3 or Redis rejects with
   */
  return function completeIndex(owner: string, epoch: number): Promise<void> {
    const current = runs.get(owner)
    if (current) return current
    const newest = Promise.withResolvers<void>()
    runs.set(owner, newest.promise)
    run(owner, epoch, newest.resolve)
      .then(newest.resolve, (error) => {
        newest.reject(error)
        if (!closing?.aborted)
          log.warn({ err: error, event: 'index-not-completed', owner }, 'list of uploads not indexed')
      })
      .finally(() => runs.delete(owner))
    return newest.promise
  }

  async function run(owner: string, epoch: number, onNewest: () => void): Promise<void> {
    const lease = createRedisLease({ redis, key: keys.indexing(owner), holder: randomUUID(), ttlMs: leaseMs })
    if (!(await holdOrWait(lease, owner, epoch))) return
    try {
      const known = await index.known(owner)
      let from = known?.epoch === epoch ? known.from : undefined
      if (from === '') return
      let added = 0
      for await (const window of listUploadIds(owner, { before: from })) {
        // Taken again if Redis has lost it.
        if (!(await lease.hold())) return
        const next = { epoch, from: window.from }
        if (!(await index.extend(owner, window.ids, next, from))) return
        from = window.from
        added += window.ids.length
        if (added >= newestIds) onNewest()
        if (closing?.aborted || (await index.countFrom(owner, from)) >= index.maxIds) return
      }
    } finally {
      await lease.release()
    }
  }

  /** Takes the lease. If another instance has it, waits until that one has listed the newest ids. */
  async function holdOrWait(
    lease: ReturnType<typeof createRedisLease>,
    owner: string,
    epoch: number,
  ): Promise<boolean> {
    const deadlineMs = performance.now() + maxPollMs
    while (performance.now() < deadlineMs) {
      if (await lease.hold()) return true
      if ((await index.known(owner))?.epoch === epoch) return false
      await delay(pollMs)
    }
    return false
  }
}

export type CompleteIndex = ReturnType<typeof createCompleteIndex>
