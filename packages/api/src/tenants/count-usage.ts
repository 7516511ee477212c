import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { originalsPrefix, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { dayOf } from '@millrace/shared/quotas/quota-reservations.ts'
import { tenantKey, userOwnerPrefix } from '@millrace/shared/uploads/owner.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { Redis } from 'ioredis'
import { createUsageCounts, type Usage, type UsageCount, type UsageOfOwner } from './usage-counts.ts'

const dayMs = 24 * 60 * 60 * 1000
/** The days that are told apart. */
const countedDays = 90
/** A page takes at most some 500 KB: 100 users with 90 days. */
const usersPerPage = 100
/** A count is repeated when it is older than this, in ms, and than this many times its duration. */
const defaultMinAgeMs = 60_000
const defaultAgeFactor = 20
/** How long a request waits for a count, in ms. */
const defaultWaitMs = 5_000
/** How often it looks for a count of another instance, in ms. */
const pollMs = 250
/** In ms. Renewed with every page of the listing. */
const leaseMs = 30_000

/** The counts of one owner, or of all, while they are made. */
type Sum = { files: number; bytes: number; days: Map<string, { files: number; bytes: number }> }

/**
 * Counts the files of tenants from S3's listing of their originals, which is the truth, in the background. A count costs one
 * request for each thousand files, and takes some 0.1 s for each. It is stored in S3 for all instances, and is made only
 * when somebody asks, on one instance at a time, and for at most a twentieth of the time.
 *
 * @param deps.closing aborts when the instance shuts down
 * @param deps.minAgeMs,deps.ageFactor when a count is repeated, see above
 * @param deps.waitMs how long a request waits for a count, in ms
 */
export function createCountUsage(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  closing: AbortSignal
  minAgeMs?: number
  ageFactor?: number
  waitMs?: number
}) {
  const { redis, prefix, s3, bucket, closing, waitMs = defaultWaitMs } = deps
  const { minAgeMs = defaultMinAgeMs, ageFactor = defaultAgeFactor } = deps
  const counts = createUsageCounts({ s3, bucket })
  const runs = new Map<string, Promise<void>>()

  /**
   * Returns the last count. If it is too old, it is repeated, and the request waits for that for a while.
   * @returns undefined if there is no count yet, because it takes longer
   */
  return async function countUsage(tenant: string): Promise<UsageCount | undefined> {
    const key = tenantKey(tenant)
    const last = await counts.latest(key)
    if (last && Date.now() - Date.parse(last.asOf) <= Math.max(minAgeMs, ageFactor * last.durationMs))
      return last
    const run = runs.get(tenant) ?? start(tenant)
    const deadlineMs = performance.now() + waitMs
    while (performance.now() < deadlineMs) {
      // Ends early if another instance counts.
      await Promise.race([run, delay(waitMs, undefined, { ref: false })])
      const current = await counts.latest(key)
      if (current && current.id !== last?.id) return current
      await delay(pollMs, undefined, { ref: false })
    }
    return last
  }

  function start(tenant: string): Promise<void> {
    const run = countLeased(tenant).finally(() => runs.delete(tenant))
    runs.set(tenant, run)
    // The requests that wait get the error. The next one tries again.
    run.catch(() => undefined)
    return run
  }

  async function countLeased(tenant: string): Promise<void> {
    const key = `${prefix}:{${tenant}}:counting-usage`
    const lease = createRedisLease({ redis, key, holder: randomUUID(), ttlMs: leaseMs })
    if (!(await lease.hold())) return
    try {
      await count(tenant, async () => {
        closing.throwIfAborted()
        return lease.hold()
      })
    } finally {
      await lease.release().catch(() => undefined)
    }
  }

  async function count(tenant: string, mayContinue: () => Promise<boolean>): Promise<void> {
    const startedMs = Date.now()
    const key = tenantKey(tenant)
    const id = newUploadId()
    const all = emptySum()
    const pages: string[] = []
    let page: UsageOfOwner[] = []
    let own: UsageOfOwner | undefined
    const writePage = async () => {
      const [first] = page
      if (!first) return
      await counts.writePage(key, id, pages.length, page)
      pages.push(first.owner)
      page = []
    }
    for await (const { owner, sum } of byOwner(tenant, startedMs, mayContinue)) {
      addSum(all, sum)
      const usage = { owner, ...usageOf(sum) }
      if (owner === tenant) own = usage
      else page.push(usage)
      if (page.length === usersPerPage) await writePage()
    }
    await writePage()
    await counts.replace(key, {
      version: 1,
      id,
      asOf: new Date(startedMs).toISOString(),
      durationMs: Date.now() - startedMs,
      ...usageOf(all),
      ...(own && { own }),
      pages,
    })
  }

  /** Yields the files of the tenant itself, then of each user, in the order of owners. */
  async function* byOwner(
    tenant: string,
    nowMs: number,
    mayContinue: () => Promise<boolean>,
  ): AsyncGenerator<{ owner: string; sum: Sum }> {
    const firstDay = dayOf(nowMs - (countedDays - 1) * dayMs)
    for (const prefixOfOwners of [`${tenant}/`, userOwnerPrefix(tenant)]) {
      let current: { owner: string; sum: Sum } | undefined
      const listed = paginateListObjectsV2(
        { client: s3 },
        { Bucket: bucket, Prefix: `${originalsPrefix}${prefixOfOwners}` },
      )
      for await (const { Contents = [] } of listed) {
        if (!(await mayContinue())) throw new Error('Another instance counts.')
        for (const { Key = '', Size = 0 } of Contents) {
          const address = parseOriginalKey(Key)
          if (!address) continue
          if (current?.owner !== address.owner) {
            if (current) yield current
            current = { owner: address.owner, sum: emptySum() }
          }
          addFile(current.sum, Size, dayOf(uploadIdTimeMs(address.id)), firstDay)
        }
      }
      if (current) yield current
    }
  }
}

export type CountUsage = ReturnType<typeof createCountUsage>

function emptySum(): Sum {
  return { files: 0, bytes: 0, days: new Map() }
}

function addFile(sum: Sum, bytes: number, day: string, firstDay: string): void {
  sum.files += 1
  sum.bytes += bytes
  if (day >= firstDay) addToDay(sum, day, { files: 1, bytes })
}

function addSum(sum: Sum, other: Sum): void {
  sum.files += other.files
  sum.bytes += other.bytes
  for (const [day, counted] of other.days) addToDay(sum, day, counted)
}

function addToDay({ days }: Sum, day: string, { files, bytes }: { files: number; bytes: number }): void {
  const before = days.get(day) ?? { files: 0, bytes: 0 }
  days.set(day, { files: before.files + files, bytes: before.bytes + bytes })
}

function usageOf({ files, bytes, days }: Sum): Usage {
  const sorted = [...days].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { files, bytes, days: sorted.map(([day, counted]) => ({ day, ...counted })) }
}
