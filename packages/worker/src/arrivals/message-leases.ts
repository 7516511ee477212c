import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'

/** SQS' maximum of messages per request. */
export const messagesPerRequest = 10

/** Duration of a long poll. An idle worker costs almost nothing, and a draining worker can wait for the last poll. */
export const waitSeconds = 5

/** How many requests are sent at the same time. */
const requestsAtOnce = 8

/** A received message. Other workers do not receive it until its lease ends. */
export type LeasedMessage = {
  id: string
  receiptHandle: string
  body: string | undefined
  /** When S3 sent the event, in ms since 1970. */
  sentAtMs: number
  /** How often SQS has handed it out, this time included. */
  receivedCount: number
  /** When it was received, and when its lease began or was renewed last: in ms, on the clock of the leases. */
  receivedAtMs: number
  renewedAtMs: number
}

/**
 * Receives the messages of a queue, each with a lease: its visibility timeout in SQS.
 *
 * @param deps.leaseMs duration of a lease, in ms, rounded up to seconds
 * @param deps.now a monotonic clock, in ms
 */
export function createMessageLeases(deps: {
  sqs: SQSClient
  queueUrl: string
  leaseMs: number
  now: () => number
}) {
  const { sqs, queueUrl, now } = deps
  const leaseSeconds = Math.ceil(deps.leaseMs / 1000)

  /**
   * Sends messages in requests of ten.
   * @param send returns the entries that SQS refused
   * @returns the messages that SQS refused because their lease is over. Those that it could not process stay as they are
   * @throws the first error, after all requests of the same time ended
   */
  async function sendAll(
    messages: readonly LeasedMessage[],
    send: (batch: LeasedMessage[]) => Promise<BatchResultErrorEntry[]>,
  ): Promise<LeasedMessage[]> {
    const lost: LeasedMessage[] = []
    const sendBatch = async (batch: LeasedMessage[]) => {
      for (const { Id, SenderFault } of await send(batch)) {
        const message = batch[Number(Id)]
        if (message && SenderFault) lost.push(message)
      }
    }
    for (const group of groupsOf(groupsOf(messages, messagesPerRequest), requestsAtOnce)) {
      const results = await Promise.allSettled(group.map(sendBatch))
      for (const result of results) if (result.status === 'rejected') throw result.reason
    }
    return lost
  }

  return {
    /**
     * Receives up to ten messages, and waits for the first one if there is none.
     * @param options.signal aborts the request. SQS may have hidden messages for it then, until their lease ends
     */
    async receive(options: { limit: number; signal: AbortSignal }): Promise<LeasedMessage[]> {
      const { Messages: messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl: queueUrl,
          MaxNumberOfMessages: Math.min(options.limit, messagesPerRequest),
          WaitTimeSeconds: waitSeconds,
          VisibilityTimeout: leaseSeconds,
          MessageSystemAttributeNames: ['SentTimestamp', 'ApproximateReceiveCount'],
        }),
        { abortSignal: options.signal },
      )
      const receivedAtMs = now()
      return messages.map(({ MessageId, ReceiptHandle, Body, Attributes }) => ({
        id: MessageId ?? '',
        receiptHandle: ReceiptHandle ?? '',
        body: Body,
        sentAtMs: Number(Attributes?.SentTimestamp ?? Date.now()),
        receivedCount: Number(Attributes?.ApproximateReceiveCount ?? 1),
        receivedAtMs,
        renewedAtMs: receivedAtMs,
      }))
    },

    /** Renews the leases of messages. @returns those whose lease is over: another worker may have received them */
    renew(messages: readonly LeasedMessage[]): Promise<LeasedMessage[]> {
      return sendAll(messages, async (batch) => {
        const startedAtMs = now()
        const { Failed: failed = [] } = await sqs.send(
          new ChangeMessageVisibilityBatchCommand({
            QueueUrl: queueUrl,
            Entries: batch.map(({ receiptHandle }, i) => ({
              Id: String(i),
              ReceiptHandle: receiptHandle,
              VisibilityTimeout: leaseSeconds,
            })),
          }),
        )
        const failedIds = new Set(failed.map(({ Id }) => Id))
        for (const [i, message] of batch.entries()) {
          if (!failedIds.has(String(i))) message.renewedAtMs = startedAtMs
        }
        return failed
      })
    },

    /**
     * Deletes messages. A message whose lease is over may come again, and its handling finds the work done.
     * @returns messages that SQS could not delete
     */
    async delete(messages: readonly LeasedMessage[]): Promise<LeasedMessage[]> {
      const remaining: LeasedMessage[] = []
      await sendAll(messages, async (batch) => {
        const { Failed: failed = [] } = await sqs.send(
          new DeleteMessageBatchCommand({
            QueueUrl: queueUrl,
            Entries: batch.map(({ receiptHandle }, i) => ({ Id: String(i), ReceiptHandle: receiptHandle })),
          }),
        )
        for (const { Id, SenderFault } of failed) {
          const message = batch[Number(Id)]
          if (message && !SenderFault) remaining.push(message)
        }
        return failed
      })
      return remaining
    },
  }
}

export type MessageLeases = ReturnType<typeof createMessageLeases>

/** Splits a list into groups of a size; the last one may be smaller. */
export function groupsOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
}
