import { reconcileCommand } from '@millrace/shared/command/commands.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Findings } from './reconciliation/findings.ts'
import { formatSweep } from './reconciliation/format-sweep.ts'
import { createSweeper } from './reconciliation/reconciliation.ts'
import { sweepLease } from './reconciliation/sweep-schedule.ts'
import { newSweepState, type SweepState } from './reconciliation/sweep-state.ts'
import { runCommand } from './run-command.ts'

/** How many uploads of each kind are named by default. */
const defaultIds = '10'

/**
 * Sweeps the bucket now, with the settings of a worker, and prints what it found. `npm run reconcile` runs it
 * (packages/local/src/reconcile-main.ts); in a container of the worker, run this file itself.
 */
process.exitCode = await runCommand(
  reconcileCommand,
  { parameters: process.argv.slice(2), environment: process.env },
  ({ values, config, log, redis, s3, streamingS3, progress, signal, print }) => {
    const { redisPrefix: prefix, bucket } = config
    const { 'dry-run': isDryRun, all, continue: isContinued, ids = defaultIds } = values
    const queue = createUploadQueue({ redis, prefix, isReadOnly: isDryRun })
    const base = { redis, prefix, s3, bucket, queue, log }
    const lifecycle = createLifecycle({
      ...base,
      streamingS3,
      quotaLimits: config.quota,
      addressQuotaLimits: config.addressQuota,
      hasCdn: config.cdnDistributionId !== undefined,
      maxBufferedBytes: config.maxBufferedBytes,
    })
    const { stateStore, sweep } = createSweeper({
      ...base,
      lifecycle,
      // Reading the epoch may begin a new one. A dry run only needs the records.
      ...(isDryRun && { records: createUploadRecords({ redis, prefix, epoch: { current: async () => 0 } }) }),
    })
    let reached: SweepState | undefined

    async function reconcile(): Promise<number> {
      const last = await stateStore.read()
      const interrupted = last && last.completedAt === undefined ? last : undefined
      if (isContinued && !interrupted) {
        process.stderr.write('No run was interrupted, so none can be continued: run it without --continue.\n')
        return 1
      }
      const fresh = newSweepState(all ? undefined : last, Date.now())
      const state = isContinued && interrupted ? interrupted : fresh
      const options = {
        state,
        signal,
        isDryRun,
        maxIds: Number(ids),
        // The last complete run had about as many objects.
        onProgress: (next: SweepState) => show(next, interrupted ? undefined : last),
      }
      if (isDryRun) return report((await sweep({ ...options, save: async () => {} })).findings)
      const lease = sweepLease({ redis, prefix })
      if (!(await lease.hold())) {
        process.stderr.write('Another sweep is running. Try again when it has ended; the log has "swept".\n')
        return 1
      }
      try {
        if (!isContinued) await stateStore.write(state)
        const { findings } = await sweep({ ...options, save: stateStore.write, keepLease: lease.keep })
        return report(findings)
      } finally {
        await lease.release()
      }
    }

    function show(next: SweepState, last: SweepState | undefined): void {
      reached = next
      const objects = ({ counts }: SweepState) => (counts['originals'] ?? 0) + (counts['manifests'] ?? 0)
      const { checked = 0 } = next.counts
      const found = isDryRun ? '' : `, ${checked} corrected`
      progress.show({
        done: objects(next),
        total: last && objects(last),
        text: `objects read${found}, stage ${next.stage}`,
      })
    }

    function report(findings: Findings): number {
      const counts = findings.counts()
      const uploads = findings.allNamed()
      print(formatSweep(findings, { isDryRun }), { completed: true, dryRun: isDryRun, counts, uploads })
      const { failed = 0 } = counts
      if (failed > 0) process.stderr.write(`${failed} uploads could not be read or corrected: see above.\n`)
      return failed > 0 ? 1 : 0
    }

    return {
      async run() {
        try {
          return await reconcile()
        } catch (error) {
          if (values.json)
            print('', {
              completed: false,
              dryRun: isDryRun,
              counts: reached?.counts ?? {},
              stage: reached?.stage,
            })
          throw error
        } finally {
          await queue.close()
        }
      },
      hint() {
        const { originals = 0, checked = 0 } = reached?.counts ?? {}
        const stage = reached ? `, in the stage ${reached.stage}` : ''
        const done = `${originals} originals were read${stage}, ${checked} findings corrected.`
        if (isDryRun) return `${originals} originals were read${stage}, nothing was changed. Start again.`
        return `${done} Continue with --continue; otherwise a worker does within five minutes.`
      },
    }
  },
)
