import { isOutage } from '@millrace/shared/connections/outage.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Logger } from 'pino'
import type { FindingKind, Findings } from './findings.ts'

/** Number of uploads that are read or corrected at a time. Each takes a few requests to S3. */
const atOnce = 16

/**
 * Reads and corrects uploads, a few at a time and at a limited rate. A failure of one upload is logged, and the next run
 * tries again. If S3 or Redis fails, the run ends, and continues later from its cursor.
 *
 * @param deps.nextCheck resolves when the next upload may be read; may throw to end the run
 * @param deps.isDryRun only counts what would be corrected
 */
export function createChecks(deps: {
  nextCheck: () => Promise<void>
  findings: Findings
  isDryRun: boolean
  log: Logger
}) {
  const { nextCheck, findings, isDryRun, log } = deps

  /** Runs work for each upload. @returns those whose work failed */
  async function each<Item extends UploadAddress>(
    items: readonly Item[],
    work: (item: Item) => Promise<void>,
  ): Promise<Item[]> {
    const failed: Item[] = []
    const outages: unknown[] = []
    const running = new Set<Promise<void>>()
    const attempt = async (item: Item) => {
      try {
        await work(item)
      } catch (error) {
        if (isOutage(error)) outages.push(error)
        failed.push(item)
        findings.count('failed')
        log.warn(
          { err: error, event: 'sweep-check-failed', uploadId: item.id },
          'an upload could not be checked, the next sweep tries again',
        )
      }
    }
    try {
      for (const item of items) {
        await nextCheck()
        if (running.size >= atOnce) await Promise.race(running)
        if (outages.length > 0) break
        const attempting = attempt(item).finally(() => running.delete(attempting))
        running.add(attempting)
      }
    } finally {
      await Promise.all(running)
    }
    if (outages.length > 0) throw outages[0]
    return failed
  }

  return {
    each,

    /** Counts findings and corrects each. @returns those that could not be corrected */
    async correct<Item extends UploadAddress>(
      kind: FindingKind,
      items: readonly Item[],
      correctOne: (item: Item) => Promise<unknown>,
    ): Promise<Item[]> {
      for (const item of items) findings.add(kind, item)
      if (isDryRun) return []
      return each(items, async (item) => {
        await correctOne(item)
        findings.count('checked')
      })
    },
  }
}

export type Checks = ReturnType<typeof createChecks>
