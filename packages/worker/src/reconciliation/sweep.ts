import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { ListedIds } from '@millrace/shared/uploads/listed-ids.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import { createChecks } from './checks.ts'
import { createCompareIndex } from './compare-index.ts'
import { createFindings, type Findings } from './findings.ts'
import { createPace } from './pace.ts'
import { createSweepErasures } from './sweep-erasures.ts'
import { createSweepObjects } from './sweep-objects.ts'
import { createSweepOwners } from './sweep-owners.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'
import { type SweepStageName, type SweepState, stageNames } from './sweep-state.ts'
import { createSweepUnfinished } from './sweep-unfinished.ts'
import { createSweepVariants } from './sweep-variants.ts'

/** The state is written after this many pages: at least ten seconds of work. A write costs as much as a page. */
const pagesPerWrite = 100

/**
 * How often variants are listed, in ms: of several for each upload, there are more than of all other objects. What is replaced
 * costs storage until then, and nothing else.
 */
const variantsEveryMs = 7 * 24 * 60 * 60_000

/** What bounds the work of a sweep. `reconciliation.ts` has the usual values and their reasons. */
export type SweepLimits = {
  /** Younger objects and records are left alone; in ms. */
  minAgeMs: number
  /** Unfinished originals get no jobs while this many wait. */
  maxWaitingJobs: number
  pagesPerSecond: number
  /** How many uploads are read or corrected per second. */
  checksPerSecond: number
}

export type SweepDeps = SweepLimits & {
  s3: S3Client
  bucket: string
  lifecycle: Pick<
    Lifecycle,
    'manifests' | 'originals' | 'checkUpload' | 'finishErasure' | 'eraseUnfinished' | 'storedVariants'
  >
  records: UploadRecords
  index: Pick<UploadIndex, 'remove'>
  listedIds: ListedIds
  queue: Pick<UploadQueue, 'isPending' | 'revive' | 'counts'>
  log: Logger
}

/** Creates the function that sweeps the bucket: it compares all of S3 with Redis, in both directions, and corrects Redis. */
export function createSweep(deps: SweepDeps) {
  /**
   * Runs a sweep from a state to its end, or until the signal aborts.
   *
   * @param options.state a new state, or that of an interrupted run
   * @param options.save keeps the state. Called once per some pages, and when the run ends or is stopped
   * @param options.keepLease called before each page and each upload; may throw to end the run
   * @param options.isDryRun changes nothing
   * @param options.onProgress called after each page, with the state up to there
   * @param options.maxIds how many uploads of each kind are named in the findings
   * @returns the state of the completed run, and what it found
   * @throws the signal's reason if it aborts, after the state was saved
   */
  return async function sweep(options: {
    state: SweepState
    save: (state: SweepState) => Promise<void>
    keepLease?: () => Promise<void>
    signal: AbortSignal
    isDryRun?: boolean
    maxIds?: number
    onProgress?: (state: SweepState) => void
  }): Promise<{ state: SweepState; findings: Findings }> {
    const { save, keepLease = async () => {}, signal, isDryRun = false, maxIds = 0, onProgress } = options
    let { state } = options
    const findings = createFindings({ before: state.counts, maxIds })
    let unsettledMs = Date.parse(state.unsettledSince ?? '') || Number.POSITIVE_INFINITY
    const nextPage = pacedBy(deps.pagesPerSecond)
    const nextCheck = pacedBy(deps.checksPerSecond)
    const startedAtMs = Date.parse(state.startedAt)
    const listsVariants = startedAtMs - (Date.parse(state.variantsListedAt ?? '') || 0) >= variantsEveryMs
    const youngAfterMs = startedAtMs - deps.minAgeMs
    const stages = createStages({
      startedAtMs,
      youngAfterMs,
      verifiedBeforeMs: Math.min(youngAfterMs, Date.parse(state.verifiedBefore ?? '') || 0),
      listsVariants,
      findings,
      checks: createChecks({ nextCheck, findings, isDryRun, log: deps.log }),
      nextPage,
      reportUnsettled(lastModifiedMs) {
        unsettledMs = Math.min(unsettledMs, lastModifiedMs)
      },
    })
    /** The state after the last whole page. The counts of a page that is not whole are not in it. */
    const advance = (next: Pick<SweepState, 'stage' | 'cursor'>) => {
      state = {
        ...state,
        ...next,
        counts: findings.counts(),
        ...(Number.isFinite(unsettledMs) && { unsettledSince: new Date(unsettledMs).toISOString() }),
      }
      onProgress?.(state)
    }

    try {
      let pages = 0
      for (const stage of stageNames.slice(stageNames.indexOf(state.stage))) {
        for await (const next of stages[stage](state.cursor)) {
          advance({ stage, cursor: next })
          pages += 1
          if (pages % pagesPerWrite === 0) await save(state)
        }
        const following = stageNames[stageNames.indexOf(stage) + 1]
        if (following) advance({ stage: following, cursor: '' })
      }
    } catch (error) {
      if (signal.aborted) await save(state)
      throw error
    }
    const verifiedBeforeMs = Math.min(youngAfterMs, unsettledMs - 1)
    const { unsettledSince: _, ...rest } = state
    const completed = {
      ...rest,
      counts: findings.counts(),
      verifiedBefore: new Date(verifiedBeforeMs).toISOString(),
      ...(listsVariants && { variantsListedAt: state.startedAt }),
      completedAt: new Date().toISOString(),
    }
    await save(completed)
    return { state: completed, findings }

    function pacedBy(perSecond: number): () => Promise<void> {
      const nextTurn = createPace({ perSecond, signal })
      return async () => {
        await nextTurn()
        await keepLease()
      }
    }
  }

  function createStages(run: SweepRun): Record<SweepStageName, SweepStage> {
    const { s3, bucket, lifecycle, records, index, listedIds, queue, maxWaitingJobs } = deps
    const base = { ...lifecycle, s3, bucket, records, index, listedIds, run }
    const compareIndex = createCompareIndex(base)
    const hasRoom = async () => {
      const { waiting, prioritized } = await queue.counts()
      return waiting + prioritized < maxWaitingJobs
    }
    return {
      erasures: createSweepErasures(base),
      objects: createSweepObjects({ ...base, queue, hasRoom, compareIndex }),
      owners: createSweepOwners({ ...base, compareIndex }),
      ...createSweepUnfinished(base),
      variants: createSweepVariants(base),
    }
  }
}

export type Sweep = ReturnType<typeof createSweep>
