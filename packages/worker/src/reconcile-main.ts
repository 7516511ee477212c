import { parseArgs } from 'node:util'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { connectRedis, connectS3, connectStreamingS3 } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { destination } from 'pino'
import { readConfig } from './config.ts'
import { formatSweep } from './reconciliation/format-sweep.ts'
import { createSweeper } from './reconciliation/reconciliation.ts'
import { sweepLease } from './reconciliation/sweep-schedule.ts'
import { newSweepState } from './reconciliation/sweep-state.ts'

/**
 * Sweeps the bucket now, with the settings of a worker, and prints what it found. `npm run reconcile` runs it
 * (packages/local/src/reconcile-main.ts); in a container of the worker, run this file itself.
 */

/** How many uploads of each kind are named by default. */
const defaultIds = 10

const { values } = parseArgs({
  options: {
    'dry-run': { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    ids: { type: 'string', default: String(defaultIds) },
  },
})
const isDryRun = values['dry-run']
const config = readConfigOrExit(readConfig, process.env)
const { redisUrl, redisPrefix: prefix, bucket } = config
// The report is on standard output.
const log = createLog({ level: 'warn', instance: config.instance }, destination({ dest: 2, sync: true }))
const redis = connectRedis(redisUrl, log)
const s3 = connectS3()
const streamingS3 = connectStreamingS3()
const queue = createUploadQueue({ redis, prefix, isReadOnly: isDryRun })
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())

try {
  process.exitCode = await run()
} catch (error) {
  if (!stopping.signal.aborted) process.stderr.write(`The sweep failed: ${messageOf(error)}\n`)
  else process.stderr.write('Stopped. A worker continues the sweep.\n')
  process.exitCode = 1
} finally {
  await queue.close()
  streamingS3.destroy()
  s3.destroy()
  redis.disconnect()
}

/** @returns the exit code */
async function run(): Promise<number> {
  const base = { redis, prefix, s3, bucket, queue, log }
  const lifecycle = createLifecycle({
    ...base,
    streamingS3,
    quotaLimits: config.quota,
    addressQuotaLimits: config.addressQuota,
    maxBufferedBytes: config.maxBufferedBytes,
  })
  const { stateStore, sweep } = createSweeper({
    ...base,
    lifecycle,
    // Reading the epoch may begin a new one. A dry run only needs the records.
    ...(isDryRun && { records: createUploadRecords({ redis, prefix, epoch: { current: async () => 0 } }) }),
  })
  const last = await stateStore.read()
  const state = newSweepState(values.all ? undefined : last, Date.now())
  const options = { state, signal: stopping.signal, isDryRun, maxIds: Number(values.ids) || 0 }
  if (isDryRun) {
    const { findings } = await sweep({ ...options, save: async () => {} })
    process.stdout.write(formatSweep(findings, options))
    return 0
  }
  const lease = sweepLease({ redis, prefix })
  if (!(await lease.hold())) {
    process.stderr.write('Another sweep is running. Try again when it has ended; the log has "swept".\n')
    return 1
  }
  try {
    await stateStore.write(state)
    const { findings } = await sweep({ ...options, save: stateStore.write, keepLease: lease.keep })
    process.stdout.write(formatSweep(findings, options))
    return 0
  } finally {
    await lease.release()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
