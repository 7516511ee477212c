import { setTimeout as delay } from 'node:timers/promises'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { isTransient } from '@millrace/shared/connections/outage.ts'
import type { ArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { parseS3Event } from '@millrace/shared/jobs/s3-event.ts'
import {
  parseEditKey,
  parseErasureKey,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import type { ApplyCopiedManifest } from './apply-copied-manifest.ts'
import type { ApplyEdit } from './apply-edit.ts'
import type { ApplyErasure } from './apply-erasure.ts'
import { createHeldArrivals, type UnfinishedKey, type UnfinishedUpload } from './held-arrivals.ts'
import { createMessageLeases, type LeasedMessage, messagesPerRequest } from './message-leases.ts'

/** In ms: doubled after each failure, each shortened by up to half so that workers do not retry together. */
const firstBackoffMs = 500
const longestBackoffMs = 30_000

/** How long a worker waits before it looks for room in the queue of jobs again, in ms. */
const noRoomMs = 1_000

/**
 * A worker that holds this many messages holds no more of copies, whose number the queue of jobs does not limit. Their
 * manifests arrive through the same queue, so they must never stop the receiving. The daily sweep finds a copy that its
 * region does not process.
 */
const maxHeldWithCopies = 1_000

/**
 * A worker that holds this many messages of uploads whose owner fills its share of the queue of jobs receives no more, as
 * a share of `maxHeld` and at least. Until then it receives the messages of other owners, which are behind them in SQS.
 */
const parkedShare = 1 / 4
const minParked = 100

/**
 * Of a message that may be received only this many times more, the reason is kept why it failed: it may become a dead letter.
 * A few, because the last one may be a worker that dies.
 */
const lastReceives = 3

/**
 * Receives S3's events from SQS. Each event becomes a record and a job. Its message is held until the upload is finished
 * (`held-arrivals.ts`). While Redis has no room for more jobs, nothing is received: the backlog waits in SQS. One owner
 * does not fill it: then its messages are held without a job.
 *
 * A message whose handling an outage interrupted is held too and handled again. So an outage does not count as a receive,
 * however long it lasts, and the next messages are received after a backoff. A message that fails for another reason
 * becomes visible when its lease ends, and if it fails too often SQS moves it to the dead-letter queue. So does a
 * message that this version cannot read, since another one may. An event of another bucket is deleted.
 *
 * @param deps.leaseMs how long a message stays invisible after its worker died, in ms
 * @param deps.maxHeld the number of held messages above which nothing is received
 * @param deps.minCopyAgeMs leaves younger copies to the region of the upload; in ms since the event
 * @param deps.failures keeps why messages failed that are about to become dead letters
 * @param deps.applyErasure handles events about erasure markers
 * @param deps.applyEdit handles events about edits
 * @param deps.applyCopiedManifest handles events about manifests, if other regions copy theirs to this bucket
 */
export function createObjectCreated(deps: {
  sqs: SQSClient
  queueUrl: string
  bucket: string
  receiveUpload: ReceiveUpload
  queue: Pick<UploadQueue, 'room' | 'hasRoom' | 'ensure' | 'states'>
  records: Pick<UploadRecords, 'find'>
  leaseMs: number
  maxHeld: number
  minCopyAgeMs: number
  failures: Pick<ArrivalFailures, 'record'>
  applyErasure: ApplyErasure
  applyEdit: ApplyEdit
  applyCopiedManifest?: ApplyCopiedManifest | undefined
  log: Logger
}) {
  const { bucket, receiveUpload, queue, records, leaseMs, maxHeld, log } = deps
  const { applyErasure, applyEdit, applyCopiedManifest, failures } = deps
  const copyLimit = Math.min(maxHeldWithCopies, maxHeld / 2)
  const now = () => performance.now()
  const leases = createMessageLeases({ ...deps, now })
  const held = createHeldArrivals({ leases, queue, records, handleKey, leaseMs, now, log })
  const stopping = new AbortController()
  /** Aborts the active poll as well. */
  const forceStop = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  return {
    start(): void {
      held.start()
      loop = run()
    },
    /**
     * Stops receiving. Resolves when all received messages are handled, and those of finished uploads are deleted. Those
     * of unfinished uploads stay in SQS.
     * @param options.waitForPoll waits for the active poll, for up to `waitSeconds`. SQS responds even to an aborted poll,
     *   and the messages in that response stay hidden until their visibility timeout is over
     * @param options.drained until then messages are held, so that those of the last jobs are deleted
     */
    async stop({ waitForPoll = false, drained }: StopOptions = {}): Promise<void> {
      stopping.abort()
      if (!waitForPoll) forceStop.abort()
      await Promise.all([loop, drained])
      // In an outage the messages come again, and the next worker deletes them.
      await held
        .stop()
        .catch((error) => log.warn({ err: error, event: 'held-arrivals-failed' }, 'messages not deleted'))
    },
  }

  // Not sqs-consumer: decision 0020 has the reasons.
  async function run(): Promise<void> {
    let failures = 0
    while (!stopping.signal.aborted) {
      try {
        await receiveOnce()
        failures = 0
      } catch (error) {
        if (stopping.signal.aborted) return
        failures += 1
        const longest = Math.min(longestBackoffMs, firstBackoffMs * 2 ** (failures - 1))
        const waitMs = longest * (1 - Math.random() / 2)
        log.warn(
          { err: error, event: 'receive-failed', failures, waitMs: Math.round(waitMs) },
          'receiving S3 events failed, it continues after a backoff',
        )
        await wait(waitMs)
      }
    }
  }

  /** @throws the error of an outage, after all received messages were handled or are held */
  async function receiveOnce(): Promise<void> {
    const parked = held.parkedSize()
    const limit = Math.min(
      messagesPerRequest,
      maxHeld - (held.size() - parked),
      Math.max(minParked, maxHeld * parkedShare) - parked,
      await queue.room(),
    )
    if (limit <= 0) return wait(noRoomMs)
    const messages = await leases.receive({ limit, signal: forceStop.signal })
    const results = await Promise.all(messages.map(handle))
    await leases.delete(messages.filter((_, i) => results[i]?.isDone))
    const interrupted = results.find(({ outage }) => outage !== undefined)
    if (interrupted) throw interrupted.outage
  }

  /** Ends early when stopped. */
  async function wait(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: stopping.signal }).catch(() => {})
  }

  /** Handles a message, and holds it if something remains to do. @returns whether it can be deleted */
  async function handle(message: LeasedMessage): Promise<{ isDone: boolean; outage?: unknown }> {
    const unfinished: UnfinishedKey[] = []
    let outage: unknown
    try {
      const objects = parseS3Event(message.body, bucket)
      if (!objects) {
        log.warn({ event: 'not-an-s3-event', messageId: message.id }, 'not an S3 event')
        return { isDone: false }
      }
      for (const { key, versionId } of objects) {
        try {
          const upload = await handleKey(key, { versionId, sentAtMs: message.sentAtMs, isRetry: false })
          const isLeftToSweep = upload?.copyUntilMs !== undefined && held.size() >= copyLimit
          if (upload && !isLeftToSweep) unfinished.push({ key, versionId, upload })
        } catch (error) {
          if (!isTransient(error)) throw error
          outage = error
          unfinished.push({ key, versionId, upload: undefined })
        }
      }
    } catch (error) {
      log.warn({ err: error, event: 'arrival-failed', messageId: message.id }, 'arrival failed')
      await keepFailure(message, error)
      return { isDone: false }
    }
    if (unfinished.length > 0) held.hold(message, unfinished)
    return { isDone: unfinished.length === 0, outage }
  }

  async function keepFailure({ id, receivedCount }: LeasedMessage, error: unknown): Promise<void> {
    if (receivedCount <= maxReceives - lastReceives) return
    await failures
      .record(id, error)
      .catch((err) => log.warn({ err, event: 'failure-not-kept', messageId: id }, 'the reason was not kept'))
  }

  async function handleKey(
    key: string,
    options: { versionId: string | undefined; sentAtMs: number; isRetry: boolean },
  ): Promise<UnfinishedUpload | undefined> {
    const original = parseOriginalKey(key)
    if (original) return handleOriginal(original, options)
    const erasure = parseErasureKey(key)
    if (erasure) await applyErasure(erasure)
    const edit = parseEditKey(key)
    if (edit) await applyEdit(edit)
    const manifest = applyCopiedManifest && parseManifestKey(key)
    if (manifest) await applyCopiedManifest(manifest)
    if (!manifest && !erasure && !edit)
      log.warn({ event: 'key-unknown', key: key.slice(0, 200) }, 'unknown key')
    return undefined
  }

  async function handleOriginal(
    address: UploadAddress,
    { versionId, sentAtMs, isRetry }: { versionId: string | undefined; sentAtMs: number; isRetry: boolean },
  ): Promise<UnfinishedUpload | undefined> {
    const copyUntilMs = sentAtMs + deps.minCopyAgeMs
    const takesCopy = copyUntilMs <= Date.now()
    // A message that comes again may be of an object that is gone.
    const trustsKnown = !isRetry && applyCopiedManifest === undefined
    const received = await receiveUpload(address, { takesCopy, versionId, trustsKnown })
    log.debug(
      { event: 'object-created', uploadId: address.id, state: received?.upload.state },
      'object created',
    )
    if (!received?.upload.arrival || isFinished(received.upload)) return undefined
    const { arrival, intent } = received.upload
    if (received.isCopy && !takesCopy) return { address, arrival, copyUntilMs }
    if (isRetry) {
      const { traceparent } = intent
      await queue.ensure({ ...address, etag: arrival.etag, ...(traceparent && { traceparent }) })
    }
    return { address, arrival, copyUntilMs: undefined }
  }
}

/** How a worker stops receiving. */
export type StopOptions = { waitForPoll?: boolean; drained?: Promise<unknown> | undefined }

export type ObjectCreated = ReturnType<typeof createObjectCreated>
