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
import type { ApplyCopiedManifest } from './apply-copied-manifest.ts'
import type { ApplyErasure } from './apply-erasure.ts'
import { parseS3Event } from './s3-event.ts'

/** Duration of a long poll. An idle worker costs almost nothing, and a draining worker can wait for the last poll. */
export const waitSeconds = 5
/** SQS's maximum per request. */
const messagesPerRequest = 10

/** In ms: doubled after each failure, each shortened by up to half so that workers do not retry together. */
const firstBackoffMs = 500
const longestBackoffMs = 30_000

/**
 * Receives S3's events from SQS. Each event becomes a record and a job, and only then its message is deleted. A message
 * whose handling fails stays and becomes visible again after its visibility timeout. So does a message that this version
 * cannot read, since another one may. An event of anything but this bucket's originals is deleted. Messages that fail too
 * often go to the dead-letter queue.
 *
 * @param deps.applyErasure handles events about erasure markers
 * @param deps.applyCopiedManifest handles events about manifests, if other regions copy theirs to this bucket
 */
export function createObjectCreated(deps: {
  sqs: SQSClient
  queueUrl: string
  bucket: string
  receiveUpload: ReceiveUpload
  applyErasure: ApplyErasure
  applyCopiedManifest?: ApplyCopiedManifest | undefined
  log: Logger
}) {
  const { sqs, queueUrl, bucket, receiveUpload, applyErasure, applyCopiedManifest, log } = deps
  const stopping = new AbortController()
  /** Aborts the active poll as well. */
  const forceStop = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  return {
    start(): void {
      loop = run()
    },
    /**
     * Stops receiving. Resolves when all received messages are handled.
     * @param waitForPoll waits for the active poll, for up to `waitSeconds`. SQS responds even to an aborted poll, and
     *   the messages in that response stay hidden until their visibility timeout is over
     */
    async stop({ waitForPoll = false } = {}): Promise<void> {
      stopping.abort()
      if (!waitForPoll) forceStop.abort()
      await loop
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
          'receiving from SQS failed',
        )
        // Rejects when stopped. Then the loop's condition ends the loop.
        await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  }

  async function receiveOnce(): Promise<void> {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: messagesPerRequest,
        WaitTimeSeconds: waitSeconds,
      }),
      { abortSignal: forceStop.signal },
    )
    const handled = await Promise.all(
      messages.map(async (message) => ((await handle(message)) ? [message] : [])),
    )
    await deleteMessages(handled.flat())
  }

  /** @returns whether the message was handled and can be deleted */
  async function handle(message: Message): Promise<boolean> {
    try {
      const keys = parseS3Event(message.Body, bucket)
      if (!keys) {
        log.warn({ event: 'not-an-s3-event', messageId: message.MessageId }, 'not an S3 event')
        return false
      }
      for (const key of keys) await handleKey(key)
      return true
    } catch (error) {
      log.warn({ err: error, event: 'arrival-failed', messageId: message.MessageId }, 'arrival failed')
      return false
    }
  }

  async function handleKey(key: string): Promise<void> {
    const original = parseOriginalKey(key)
    if (original) return handleOriginal(original)
    const erasure = parseErasureKey(key)
    if (erasure) return applyErasure(erasure)
    const manifest = applyCopiedManifest && parseManifestKey(key)
    if (manifest) return applyCopiedManifest(manifest)
    log.warn({ event: 'key-unknown', key: key.slice(0, 200) }, 'unknown key')
  }

  async function handleOriginal(address: UploadAddress): Promise<void> {
    const stored = await receiveUpload(address)
    log.debug(
      { event: 'object-created', uploadId: address.id, state: stored?.upload.state },
      'object created',
    )
  }

  async function deleteMessages(messages: Message[]): Promise<void> {
    if (messages.length === 0) return
    const { Failed: failed = [] } = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: queueUrl,
        Entries: messages.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle })),
      }),
    )
    // They become visible again, and their handling finds the work done.
    for (const { Code } of failed) log.warn({ event: 'delete-failed', code: Code }, 'message not deleted')
  }
}

export type ObjectCreated = ReturnType<typeof createObjectCreated>
