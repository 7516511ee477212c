import { parseArgs } from 'node:util'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEdits } from '@millrace/shared/ledger/edits.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { connectRedis, connectS3 } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { destination } from 'pino'
import { readConfig } from './config.ts'
import { formatCounts } from './reprocessing/format-counts.ts'
import { createReprocessing } from './reprocessing/reprocessing.ts'

/**
 * Gives jobs to all uploads whose preset or renderer has changed, with the settings of a worker. `npm run reprocess` runs it
 * (packages/local/src/reprocess-main.ts); in a container of the worker, run this file itself.
 */

/** How often the position is printed, in ms. */
const progressPeriodMs = 5_000

const { values } = parseArgs({
  options: {
    preset: { type: 'string' },
    owner: { type: 'string' },
    after: { type: 'string', default: '' },
    'dry-run': { type: 'boolean', default: false },
  },
})
const isDryRun = values['dry-run']
const config = readConfigOrExit(readConfig, process.env)
const { redisUrl, redisPrefix: prefix, bucket, maxQueuedJobs } = config
// The counts are on standard output.
const log = createLog({ level: 'warn', instance: config.instance }, destination({ dest: 2, sync: true }))
const redis = connectRedis(redisUrl, log)
const s3 = connectS3()
const queue = createUploadQueue({ redis, prefix, maxQueuedJobs, isReadOnly: isDryRun })
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
let position = values.after
let printedAtMs = performance.now()

try {
  process.exitCode = await run()
} catch (error) {
  const reason = stopping.signal.aborted ? 'Stopped' : `Failed: ${messageOf(error)}`
  const where = position === '' ? 'Start again' : `Continue with --after ${position}, or start again`
  process.stderr.write(`${reason}. ${where}.\n`)
  process.exitCode = 1
} finally {
  await queue.close()
  s3.destroy()
  redis.disconnect()
}

/** @returns the exit code */
async function run(): Promise<number> {
  const { preset, owner, after } = values
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
  const reprocessOutdated = createReprocessing({ s3, bucket, lifecycle, queue, config })
  const counts = await reprocessOutdated({
    filter: { preset },
    owner,
    after,
    isDryRun,
    signal: stopping.signal,
    onProgress(reached, { read = 0, queued = 0 }) {
      position = reached
      if (performance.now() - printedAtMs < progressPeriodMs) return
      printedAtMs = performance.now()
      process.stderr.write(`${read} read, ${queued} queued, at ${position}\n`)
    },
  })
  process.stdout.write(formatCounts(counts))
  return 0
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
