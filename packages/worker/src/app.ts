import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { PutFleetMetrics } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import { createFleetReporter } from '@millrace/shared/fleet/fleet-reporter.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import { createImportQueue, importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import { createUploadQueue, uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { createAbortMultipartUploads } from '@millrace/shared/ledger/abort-multipart-uploads.ts'
import { createEraseObjects, createEraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createStoreOriginal } from '@millrace/shared/ledger/store-original.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { createReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { createUploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { createQuota } from '@millrace/shared/quotas/quota.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { withDeadline } from '@millrace/shared/service/deadline.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import { createExpireUnfinished } from './arrivals/expire-unfinished.ts'
import { createObjectCreated, waitSeconds } from './arrivals/object-created.ts'
import { createReconcile } from './arrivals/reconcile.ts'
import { createReconcileSchedule } from './arrivals/reconcile-schedule.ts'
import { createRegionEvents } from './arrivals/region-events.ts'
import { createRepeatErasures } from './arrivals/repeat-erasures.ts'
import type { Config } from './config.ts'
import { renderIsolated } from './images/render-isolated.ts'
import { createFetchSource } from './imports/fetch-source.ts'
import { createFinishImport } from './imports/finish-import.ts'
import { createImportUpload } from './imports/import-upload.ts'
import { createPublicAddress } from './imports/public-address.ts'
import { createSourceAddresses } from './imports/source-addresses.ts'
import { createActiveJobs, uncountedActiveJobs } from './jobs/active-jobs.ts'
import { createJobHandlers, createProcessor } from './jobs/job-handlers.ts'
import { createOldestJob } from './jobs/oldest-job.ts'
import { createQueueWorker } from './jobs/queue-worker.ts'
import { createDiscardOriginal } from './processing/discard-original.ts'
import { createFailUpload } from './processing/fail-upload.ts'
import { createFinishUpload } from './processing/finish-upload.ts'
import { createProcessUpload } from './processing/process-upload.ts'
import { createOriginalReader } from './processing/read-original.ts'
import { createVariantWriter } from './processing/write-variant.ts'

/** Events take a second or two; an original this old, in milliseconds, has lost its one. */
const reconcileGraceMs = 30_000
/**
 * An original this old, in milliseconds, that S3 copied here from another region and that has no manifest yet is taken
 * from that region. S3 copies most objects within 15 minutes, and the manifest comes last.
 */
const copyGraceMs = 30 * 60_000
/** How long handing back what is unfinished may take once the drain's deadline is over, in milliseconds. */
const handBackMs = 3_000

/**
 * Composes the worker: SQS → `object-created` → queue → `process-upload`, `reconcile` behind both, and
 * `import-upload`, whose files come in by the same door.
 *
 * @param clients.redis for commands
 * @param clients.blockingRedis for the queues, which wait
 * @param clients.streamingS3 for bodies that pass through
 * @param clients.putFleetMetrics where the fleet's load goes besides Redis, if anywhere
 */
export function createApp(
  config: Config,
  log: Logger,
  clients: {
    redis: Redis
    blockingRedis: Redis
    s3: S3Client
    streamingS3: S3Client
    sqs: SQSClient
    putFleetMetrics?: PutFleetMetrics | undefined
  },
) {
  const { redis, blockingRedis, s3, streamingS3, sqs } = clients
  const { bucket, redisPrefix: prefix, presets, maxImageBytes, maxImagePixels } = config

  const records = createUploadRecords({ redis, prefix })
  const manifests = createManifests({ s3, bucket })
  const originals = createOriginals({ s3, bucket })
  const queue = createUploadQueue({ redis, prefix })
  const eraseObjects = createEraseObjects({ s3, bucket })
  const lookup = createUploadLookup({ records, manifests, originals })
  const receiveUpload = createReceiveUpload({ lookup, records, originals, queue, eraseObjects })
  const quotaReservations = createQuotaReservations({ redis, prefix })
  const finishUpload = createFinishUpload({
    manifests,
    records,
    eraseObjects,
    discardOriginal: createDiscardOriginal({ s3, bucket }),
    quotaReservations,
  })

  const processUpload = createProcessUpload({
    lookup,
    records,
    originals,
    manifests,
    presets,
    openOriginal: createOriginalReader({ s3, bucket }),
    writeVariant: createVariantWriter({ s3, bucket }),
    renderIsolated,
    finishUpload,
    eraseObjects,
    maxImageBytes,
    maxImagePixels,
  })
  const failUpload = createFailUpload({ lookup, presets, finishUpload })
  const quota = createQuota({ ledger: quotaReservations, limits: config.quota, originals, s3, bucket })
  const finishImport = createFinishImport({ records, quota })
  const importUpload = createImportUpload({
    records,
    receiveUpload,
    eraseObjects,
    abortMultipartUploads: createAbortMultipartUploads({ s3, bucket }),
    quota,
    fetchSource: createFetchSource({
      sourceAddresses: createSourceAddresses({
        isPermitted: createPublicAddress(config.importAllowedNetworks),
        dnsServers: config.importDnsServers,
      }),
      allowedPorts: config.importAllowedPorts,
      silenceMs: config.importSilenceMs,
    }),
    storeOriginal: createStoreOriginal({ s3, streamingS3, bucket, log }),
    finishImport,
    maxUploadBytes: config.maxUploadBytes,
    timeoutMs: config.importTimeoutMs,
  })
  const handlers = createJobHandlers({ processUpload, failUpload, importUpload, finishImport })
  const activity = createRecentActivity()
  const activeJobs = createActiveJobs({ activity, finishedJobs: createFinishedJobs({ redis, prefix }) })
  const oldestJob = createOldestJob()
  const queues = { redis: blockingRedis, prefix, log }
  const uploadQueueWorker = createQueueWorker({
    ...queues,
    queueName: uploadQueueName,
    slots: config.slots,
    processor: createProcessor({ handlers, activeJobs, oldestJob, log }),
  })
  const importQueueWorker = createQueueWorker({
    ...queues,
    queueName: importQueueName,
    slots: config.importSlots,
    processor: createProcessor({ handlers, activeJobs: uncountedActiveJobs, oldestJob, log }),
  })
  const imports = config.bucketReplicated ? createImportQueue({ redis, prefix }) : undefined
  const eraseUpload = imports && createEraseUpload({ records, queue, imports, eraseObjects, quota })
  const objectCreated = createObjectCreated({
    sqs,
    queueUrl: config.eventsQueueUrl,
    bucket,
    receiveUpload,
    regionEvents: eraseUpload && createRegionEvents({ manifests, finishUpload, eraseUpload }),
    log,
  })
  const reconcile = createReconcile({
    s3,
    bucket,
    receiveUpload,
    queue,
    graceMs: reconcileGraceMs,
    copyGraceMs,
    log,
  })
  const reconcileSchedule = createReconcileSchedule({
    redis,
    prefix,
    intervalMs: config.reconcileIntervalMs,
    reconcile,
    expireUnfinished: createExpireUnfinished({
      s3,
      bucket,
      eraseUnfinished: createEraseUnfinished({ s3, bucket }),
    }),
    repeatErasures: eraseUpload && createRepeatErasures({ s3, bucket, records, eraseUpload, log }),
    log,
  })

  const fleetReporter = createFleetReporter({
    redis,
    prefix,
    sqs,
    queueUrl: config.eventsQueueUrl,
    queue,
    id: config.instance,
    tier: 'worker',
    version: packageJson.version,
    slots: config.slots,
    activity,
    putFleetMetrics: clients.putFleetMetrics,
    publishPeriodMs: config.publishPeriodMs,
    log,
  })

  return {
    /** How long jobs and imports have been under way here. */
    oldestJob,
    async start(): Promise<void> {
      await Promise.all([uploadQueueWorker.start(), importQueueWorker.start()])
      objectCreated.start()
      reconcileSchedule.start()
      fleetReporter.start()
    },
    /**
     * Takes no more work, finishes or hands back active jobs, and closes the queues.
     * @param how.deadlineMs how long active jobs may take, in milliseconds
     * @param how.patient has time to see the request under way to SQS through, so that no message stays hidden
     * @throws DeadlineError soon after the deadline if Redis or S3 does not respond: messages become visible again, and
     *   jobs whose lock expires are taken over
     */
    async close({ deadlineMs = config.drainDeadlineMs, patient = false } = {}): Promise<void> {
      const longestMs = Math.max(deadlineMs, patient ? waitSeconds * 1000 : 0)
      await withDeadline('The drain', longestMs + handBackMs, () =>
        Promise.all([
          objectCreated.stop({ patient }),
          reconcileSchedule.stop(),
          // Imports end by adding jobs.
          Promise.all([
            uploadQueueWorker.drain(deadlineMs),
            importQueueWorker.drain(deadlineMs),
            fleetReporter.drain(),
          ])
            .then(() => fleetReporter.stop())
            .then(() => Promise.all([queue.close(), imports?.close()])),
        ]),
      )
    },
  }
}
