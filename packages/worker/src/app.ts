import { setTimeout as delay } from 'node:timers/promises'
import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { createAbortMultipartUploads } from '@millrace/shared/abort-multipart-uploads.ts'
import type { PutLoad } from '@millrace/shared/cloudwatch-metrics.ts'
import { createEraseObjects, createEraseUnfinished } from '@millrace/shared/erase-objects.ts'
import { createEraseUpload } from '@millrace/shared/erase-upload.ts'
import { createFinishedJobs } from '@millrace/shared/finished-jobs.ts'
import { createFleetReporter } from '@millrace/shared/fleet-reporter.ts'
import { createImportQueue, importQueueName } from '@millrace/shared/import-upload-job.ts'
import { createManifests } from '@millrace/shared/manifest.ts'
import { createOriginals } from '@millrace/shared/originals.ts'
import { createUploadQueue, uploadQueueName } from '@millrace/shared/process-upload-job.ts'
import { createQuota } from '@millrace/shared/quota.ts'
import { createQuotaLedger } from '@millrace/shared/quota-ledger.ts'
import { createReceiveUpload } from '@millrace/shared/receive-upload.ts'
import { createRecentActivity } from '@millrace/shared/recent-activity.ts'
import { createStoreOriginal } from '@millrace/shared/store-original.ts'
import { createUploadLookup } from '@millrace/shared/upload-lookup.ts'
import { createUploadRecords } from '@millrace/shared/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import type { Config } from './config.ts'
import { createDiscardOriginal } from './discard-original.ts'
import { createEndImport } from './end-import.ts'
import { createExpireUnfinished } from './expire-unfinished.ts'
import { createGiveUpUpload } from './give-up-upload.ts'
import { createImportUpload } from './import-upload.ts'
import { createJobHandlers, createProcessor } from './job-handlers.ts'
import { createJobsUnderWay, uncountedJobs } from './jobs-under-way.ts'
import { createObjectCreated, waitSeconds } from './object-created.ts'
import { createOldestWork } from './oldest-work.ts'
import { createOpenSource } from './open-source.ts'
import { createProcessUpload } from './process-upload.ts'
import { createPublicAddress } from './public-address.ts'
import { quarantineImage } from './quarantine-image.ts'
import { createOriginalReader } from './read-original.ts'
import { createReconcile } from './reconcile.ts'
import { createReconcileSchedule } from './reconcile-schedule.ts'
import { createRegionEvents } from './region-events.ts'
import { createRepeatErasures } from './repeat-erasures.ts'
import { createSettleUpload } from './settle-upload.ts'
import { createSourceAddresses } from './source-addresses.ts'
import { createUploadWorker } from './upload-worker.ts'
import { createVariantWriter } from './write-variant.ts'

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
 * @param clients.putLoad where the fleet's load goes besides Redis, if anywhere
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
    putLoad?: PutLoad | undefined
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
  const quotaLedger = createQuotaLedger({ redis, prefix })
  const settleUpload = createSettleUpload({
    manifests,
    records,
    eraseObjects,
    discardOriginal: createDiscardOriginal({ s3, bucket }),
    quotaLedger,
  })

  const processUpload = createProcessUpload({
    lookup,
    records,
    originals,
    manifests,
    presets,
    openOriginal: createOriginalReader({ s3, bucket }),
    writeVariant: createVariantWriter({ s3, bucket }),
    quarantineImage,
    settleUpload,
    eraseObjects,
    maxImageBytes,
    maxImagePixels,
  })
  const giveUpUpload = createGiveUpUpload({ lookup, presets, settleUpload })
  const quota = createQuota({ ledger: quotaLedger, limits: config.quota, originals, s3, bucket })
  const endImport = createEndImport({ records, quota })
  const importUpload = createImportUpload({
    records,
    receiveUpload,
    eraseObjects,
    abortMultipartUploads: createAbortMultipartUploads({ s3, bucket }),
    quota,
    openSource: createOpenSource({
      sourceAddresses: createSourceAddresses({
        isPermitted: createPublicAddress(config.importAllowedNetworks),
        dnsServers: config.importDnsServers,
      }),
      allowedPorts: config.importAllowedPorts,
      silenceMs: config.importSilenceMs,
    }),
    storeOriginal: createStoreOriginal({ s3, streamingS3, bucket, log }),
    endImport,
    maxUploadBytes: config.maxUploadBytes,
    timeoutMs: config.importTimeoutMs,
  })
  const handlers = createJobHandlers({ processUpload, giveUpUpload, importUpload, endImport })
  const activity = createRecentActivity()
  const jobsUnderWay = createJobsUnderWay({ activity, finishedJobs: createFinishedJobs({ redis, prefix }) })
  const oldestWork = createOldestWork()
  const queues = { redis: blockingRedis, prefix, log }
  const uploadWorker = createUploadWorker({
    ...queues,
    queueName: uploadQueueName,
    slots: config.slots,
    processor: createProcessor({ handlers, jobsUnderWay, oldestWork, log }),
  })
  const importWorker = createUploadWorker({
    ...queues,
    queueName: importQueueName,
    slots: config.importSlots,
    processor: createProcessor({ handlers, jobsUnderWay: uncountedJobs, oldestWork, log }),
  })
  const imports = config.bucketReplicated ? createImportQueue({ redis, prefix }) : undefined
  const eraseUpload = imports && createEraseUpload({ records, queue, imports, eraseObjects, quota })
  const objectCreated = createObjectCreated({
    sqs,
    queueUrl: config.eventsQueueUrl,
    bucket,
    receiveUpload,
    regionEvents: eraseUpload && createRegionEvents({ manifests, settleUpload, eraseUpload }),
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
    putLoad: clients.putLoad,
    publishPeriodMs: config.publishPeriodMs,
    log,
  })

  return {
    /** How long jobs and imports have been under way here. */
    oldestWork,
    async start(): Promise<void> {
      await Promise.all([uploadWorker.start(), importWorker.start()])
      objectCreated.start()
      reconcileSchedule.start()
      fleetReporter.start()
    },
    /**
     * Takes in nothing more, finishes or hands back what is under way, and lets go of the queue. Where Redis
     * or S3 does not answer, that is given up soon after the drain's deadline: messages come again, and jobs
     * whose lock runs out are taken over.
     * @param how.deadlineMs how long jobs under way may take, in milliseconds
     * @param how.patient has time to see the request under way to SQS through, so that no message stays hidden
     */
    async close({ deadlineMs = config.drainDeadlineMs, patient = false } = {}): Promise<void> {
      const closed = new AbortController()
      const parts = [
        objectCreated.stop({ patient }),
        reconcileSchedule.stop(),
        // Imports end by adding jobs.
        Promise.all([uploadWorker.drain(deadlineMs), importWorker.drain(deadlineMs), fleetReporter.drain()])
          .then(() => fleetReporter.stop())
          .then(() => Promise.all([queue.close(), imports?.close()])),
      ]
      const longestMs = Math.max(deadlineMs, patient ? waitSeconds * 1000 : 0) + handBackMs
      const patience = delay(longestMs, 'late', { signal: closed.signal })
      // Rejects when it is no longer needed.
      const late = await Promise.race([Promise.all(parts), patience.catch(() => undefined)])
      closed.abort()
      if (late === 'late') log.warn({ event: 'close-given-up' }, 'something does not answer')
    },
  }
}
