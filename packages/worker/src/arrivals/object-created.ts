import { setTimeout as delay } from 'node:timers/promises'
import {
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { parseErasureKey, parseManifestKey, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Logger } from 'pino'
import type { CrossRegionEvents } from './cross-region-events.ts'
import { parseS3Event } from './s3-event.ts'

/** Long enough for an idle worker to cost next to nothing, short enough to be waited for by one that leaves. */
export const waitSeconds = 5
/** The most that SQS takes. */
const messagesAtOnce = 10

/** Milliseconds: doubled from one failure to the next, each shortened by up to half so that workers spread. */
const firstBackoffMs = 500
const longestBackoffMs = 30_000

/**
 * Takes S3's events off the queue: each one becomes a record and a job, and only then is its message
 * deleted. What cannot be handled now is left there and comes again once its visibility timeout is over;
 * what never could be (it is no event of ours) is logged and deleted. The queue's dead-letter queue takes
 * what comes too often.
 *
 * @param deps.crossRegionEvents where several regions copy to each other, S3 tells of their manifests and erasures as well
 */
export function createObjectCreated(deps: {
  sqs: SQSClient
  queueUrl: string
  bucket: string
  receiveUpload: ReceiveUpload
  crossRegionEvents?: CrossRegionEvents | undefined
  log: Logger
}) {
  const { sqs, queueUrl, bucket, receiveUpload, crossRegionEvents, log } = deps
  const stopping = new AbortController()
  /** Gives up the request under way as well. */
  const forceStop = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  return {
    start(): void {
      loop = run()
    },
    /**
     * Receives nothing more; resolves when the messages in hand are dealt with.
     * @param waitForPoll waits for the request under way, for up to `waitSeconds`. SQS goes on answering one that
     *   was given up, and what it answers stays hidden from others until its visibility timeout is over
     */
    async stop({ waitForPoll = false } = {}): Promise<void> {
      stopping.abort()
      if (!waitForPoll) forceStop.abort()
      await loop
    },
  }

  async function run(): Promise<void> {
    let failures = 0
    while (!stopping.signal.aborted) {
      try {
        await pass()
        failures = 0
      } catch (error) {
        if (stopping.signal.aborted) return
        failures += 1
        const longest = Math.min(longestBackoffMs, firstBackoffMs * 2 ** (failures - 1))
        const waitMs = longest * (1 - Math.random() / 2)
        log.warn({ err: error, event: 'receive-failed', failures, waitMs: Math.round(waitMs) }, 'SQS')
        // Rejects when stopped, which is what is wanted: the loop's condition ends it.
        await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  }

  async function pass(): Promise<void> {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: messagesAtOnce,
        WaitTimeSeconds: waitSeconds,
      }),
      { abortSignal: forceStop.signal },
    )
    const handled = await Promise.all(
      messages.map(async (message) => ((await handle(message)) ? [message] : [])),
    )
    await forget(handled.flat())
  }

  /** @returns whether the message has done its work */
  async function handle(message: Message): Promise<boolean> {
    try {
      const keys = parseS3Event(message.Body, bucket)
      if (!keys) log.warn({ event: 'not-an-s3-event', messageId: message.MessageId }, 'not an S3 event')
      for (const key of keys ?? []) await arrived(key)
      return true
    } catch (error) {
      log.warn({ err: error, event: 'arrival-failed', messageId: message.MessageId }, 'comes again')
      return false
    }
  }

  async function arrived(key: string): Promise<void> {
    const original = parseOriginalKey(key)
    if (original) return received(original)
    const finished = crossRegionEvents && parseManifestKey(key)
    if (finished) return crossRegionEvents.applyManifest(finished)
    const erased = crossRegionEvents && parseErasureKey(key)
    if (erased) return crossRegionEvents.applyErasure(erased)
    log.warn({ event: 'key-unknown', key: key.slice(0, 200) }, 'nothing of ours')
  }

  async function received(address: UploadAddress): Promise<void> {
    const stored = await receiveUpload(address)
    log.debug(
      { event: 'object-created', uploadId: address.id, state: stored?.upload.state },
      'object created',
    )
  }

  async function forget(messages: Message[]): Promise<void> {
    if (messages.length === 0) return
    const { Failed: failed = [] } = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: queueUrl,
        Entries: messages.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle })),
      }),
    )
    // They come again and find their work done.
    for (const { Code } of failed) log.warn({ event: 'delete-failed', code: Code }, 'message not deleted')
  }
}

export type ObjectCreated = ReturnType<typeof createObjectCreated>
