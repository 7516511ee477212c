import { reprocessCommand } from '@millrace/shared/command/commands.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEdits } from '@millrace/shared/ledger/edits.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createSweepStateStore } from './reconciliation/sweep-state.ts'
import { formatCounts } from './reprocessing/format-counts.ts'
import type { Counts } from './reprocessing/reprocess-outdated.ts'
import { createReprocessing } from './reprocessing/reprocessing.ts'
import { runCommand } from './run-command.ts'

/**
 * Gives jobs to all uploads whose preset or renderer has changed, with the settings of a worker. `npm run reprocess` runs it
 * (packages/local/src/reprocess-main.ts); in a container of the worker, run this file itself.
 */
process.exitCode = await runCommand(
  reprocessCommand,
  { parameters: process.argv.slice(2), environment: process.env },
  ({ values, config, log, redis, s3, progress, signal, print }) => {
    const { preset, owner, after = '', 'dry-run': isDryRun } = values
    const { redisPrefix: prefix, bucket, maxQueuedJobs } = config
    const queue = createUploadQueue({ redis, prefix, maxQueuedJobs, isReadOnly: isDryRun })
    let position = after
    let reached: Counts = {}

    async function reprocess(): Promise<number> {
      if (preset !== undefined && !config.presets.has(preset)) {
        process.stderr.write(`No preset has the name ${preset}: ${[...config.presets.keys()].join(', ')}.\n`)
        return 2
      }
      const ledger = { s3, bucket }
      const lifecycle = {
        manifests: createManifests(ledger),
        edits: createEdits(ledger),
        originals: createOriginals(ledger),
      }
      // Of a part of the bucket, nobody knows how many there are.
      const isWhole = owner === undefined && after === ''
      const last = isWhole ? await createSweepStateStore({ s3, bucket, log }).read() : undefined
      const total = last?.counts['manifests']
      const reprocessOutdated = createReprocessing({ s3, bucket, lifecycle, queue, config })
      const counts = await reprocessOutdated({
        filter: { preset },
        owner,
        after,
        isDryRun,
        signal,
        onProgress(at, soFar) {
          position = at
          reached = soFar
          const { read = 0, outdated = 0, queued = 0 } = soFar
          const found = isDryRun ? `${outdated} outdated` : `${queued} queued`
          progress.show({ done: read, total, text: `manifests read, ${found}, at ${at}` })
        },
      })
      print(formatCounts(counts), { completed: true, dryRun: isDryRun, counts })
      return 0
    }

    return {
      async run() {
        try {
          return await reprocess()
        } catch (error) {
          if (values.json) print('', { completed: false, dryRun: isDryRun, counts: reached, after: position })
          throw error
        } finally {
          await queue.close()
        }
      },
      hint() {
        const { read = 0, queued = 0 } = reached
        const done = isDryRun
          ? `${read} manifests were read`
          : `${read} manifests were read, ${queued} uploads got a job`
        const where = position === '' ? 'Start again' : `Continue with --after ${position}, or start again`
        return `${done}. ${where}.`
      },
    }
  },
)
