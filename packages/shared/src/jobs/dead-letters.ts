import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'

/** SQS' maximum of messages per request. */
const messagesPerRequest = 10

/**
 * Messages of one request to send have at most this many bytes together. SQS allows 1 MiB for bodies and attributes; events
 * have some 1 KB.
 */
const maxBytesPerRequest = 256 * 1024

/** How many groups of messages are moved at the same time. One group takes three requests of some 10 ms each. */
const groupsAtOnce = 4

/** A long poll, however short, asks all servers of SQS; without it, messages may be missed. In seconds. */
const pollSeconds = 1

/** How long other readers do not see a message that is listed. It is shown again at once; this is for a crash. In seconds. */
const listingSeconds = 20

/** The same for a message that is moved: longer than all retries of the requests that move it. In seconds. */
const movingSeconds = 120

/** A message of the dead-letter queue. */
export type DeadLetter = {
  /** SQS' id, which the message had in the events queue as well. */
  id: string
  body: string
  /** When it was sent first, in ms since 1970. */
  sentAtMs: number
  /** How often it was received. Each listing counts as well. */
  receivedCount: number
}

/** `visible`: can be listed and moved now. `hidden`: another reader has them for at most some minutes. */
export type DeadLetterCount = { visible: number; hidden: number }

/** How a redrive ended. `moved`: messages that are in the events queue again. */
export type RedriveResult = { moved: number }

/**
 * Lists the dead-letter queue of S3's events, and sends its messages to the events queue again.
 *
 * Not SQS' `StartMessageMoveTask`: it tells nothing of single messages, has no dry run and no bound, and the local SQS does not
 * have it. This way there is one way to move, everywhere.
 *
 * @param deps.deadLetterQueueUrl the queue that is emptied
 * @param deps.eventsQueueUrl the queue that gets the messages
 */
export function createDeadLetters(deps: {
  sqs: SQSClient
  deadLetterQueueUrl: string
  eventsQueueUrl: string
}) {
  const { sqs, deadLetterQueueUrl, eventsQueueUrl } = deps

  /** Returns the numbers of messages. SQS counts approximately: a number may be a minute old. */
  async function count(): Promise<DeadLetterCount> {
    const { Attributes: attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: deadLetterQueueUrl,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    )
    return {
      visible: Number(attributes.ApproximateNumberOfMessages ?? 0),
      hidden: Number(attributes.ApproximateNumberOfMessagesNotVisible ?? 0),
    }
  }

  async function receive(options: { limit: number; hideSeconds: number; waitSeconds: number }) {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: deadLetterQueueUrl,
        MaxNumberOfMessages: Math.min(options.limit, messagesPerRequest),
        WaitTimeSeconds: options.waitSeconds,
        VisibilityTimeout: options.hideSeconds,
        MessageSystemAttributeNames: ['SentTimestamp', 'ApproximateReceiveCount'],
        MessageAttributeNames: ['All'],
      }),
    )
    return messages
  }

  /** Makes messages visible again. A message that cannot be is visible when its timeout ends. */
  async function show(messages: readonly Message[]): Promise<void> {
    for (const group of groupsOf(messages)) {
      await sqs.send(
        new ChangeMessageVisibilityBatchCommand({
          QueueUrl: deadLetterQueueUrl,
          Entries: group.map(({ ReceiptHandle }, i) => ({
            Id: String(i),
            ReceiptHandle,
            VisibilityTimeout: 0,
          })),
        }),
      )
    }
  }

  /**
   * Sends a group of messages, and deletes those that SQS has accepted. So a crash in between leaves a message in both queues,
   * and none in neither; an event that comes twice is handled twice and changes nothing.
   *
   * @returns how many were moved
   * @throws Error if SQS refused some. They stay
   */
  async function move(group: readonly Message[]): Promise<number> {
    const request = new SendMessageBatchCommand({
      QueueUrl: eventsQueueUrl,
      Entries: group.map(({ Body, MessageAttributes }, i) => ({
        Id: String(i),
        MessageBody: Body,
        ...(MessageAttributes && { MessageAttributes }),
      })),
    })
    const { Failed: refused = [] } = await sqs.send(request).catch(async (error: unknown) => {
      await show(group).catch(() => undefined)
      throw error
    })
    const refusedIds = new Set(refused.map(({ Id }) => Id))
    const sent = group.filter((_, i) => !refusedIds.has(String(i)))
    if (sent.length > 0) {
      await sqs.send(
        new DeleteMessageBatchCommand({
          QueueUrl: deadLetterQueueUrl,
          Entries: sent.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle })),
        }),
      )
    }
    const [first] = refused
    if (first) {
      await show(group.filter((_, i) => refusedIds.has(String(i))))
      throw new Error(`SQS did not accept ${refused.length} messages: ${first.Code ?? 'unknown reason'}.`)
    }
    return sent.length
  }

  return {
    count,

    /**
     * Returns some messages, the oldest mostly first. SQS has no order and no pages: it returns what it finds, and not what
     * another reader has at the moment. Nothing is changed, except that SQS counts a receive.
     *
     * @param options.limit how many at most
     */
    async list({ limit }: { limit: number }): Promise<DeadLetter[]> {
      const found = new Map<string, Message>()
      // A short poll is enough to see that an empty queue is empty.
      const waitSeconds = (await count()).visible > 0 ? pollSeconds : 0
      try {
        while (found.size < limit) {
          const messages = await receive({
            limit: limit - found.size,
            hideSeconds: listingSeconds,
            waitSeconds,
          })
          if (messages.length === 0) break
          for (const message of messages) found.set(message.MessageId ?? '', message)
        }
      } finally {
        await show([...found.values()])
      }
      return [...found.values()]
        .map(({ MessageId: id = '', Body: body = '', Attributes: attributes = {} }) => ({
          id,
          body,
          sentAtMs: Number(attributes.SentTimestamp ?? 0),
          receivedCount: Number(attributes.ApproximateReceiveCount ?? 0),
        }))
        .sort((one, other) => one.sentAtMs - other.sentAtMs)
    },

    /**
     * Sends messages to the events queue again, where workers try them as often as new ones. Several may run at once. One that
     * was interrupted may simply be run again.
     *
     * @param options.limit how many at most
     * @param options.signal ends it after the messages that are being moved
     * @param options.onProgress is called with the number of moved messages
     * @throws errors of SQS. What was moved stays moved
     */
    async redrive(
      options: {
        limit?: number
        signal?: AbortSignal | undefined
        onProgress?: ((moved: number) => void) | undefined
      } = {},
    ): Promise<RedriveResult> {
      const { limit = Number.POSITIVE_INFINITY, signal, onProgress } = options
      let unclaimed = limit
      let moved = 0
      const failures: unknown[] = []

      async function moveUntilEmpty(): Promise<void> {
        while (unclaimed > 0 && !signal?.aborted && failures.length === 0) {
          const claimed = Math.min(unclaimed, messagesPerRequest)
          unclaimed -= claimed
          const messages = await receive({
            limit: claimed,
            hideSeconds: movingSeconds,
            waitSeconds: pollSeconds,
          })
          unclaimed += claimed - messages.length
          if (messages.length === 0) return
          for (const group of groupsOf(messages)) {
            const count = await move(group)
            moved += count
            onProgress?.(moved)
          }
        }
      }

      const run = () => moveUntilEmpty().catch((error: unknown) => failures.push(error))
      await Promise.all(Array.from({ length: groupsAtOnce }, run))
      if (failures.length > 0) throw failures[0]
      return { moved }
    },
  }
}

export type DeadLetters = ReturnType<typeof createDeadLetters>

/** Splits messages into groups that one request can take. */
function groupsOf(messages: readonly Message[]): Message[][] {
  const groups: Message[][] = []
  let group: Message[] = []
  let bytes = 0
  for (const message of messages) {
    const size = Buffer.byteLength(message.Body ?? '')
    if (group.length === messagesPerRequest || (group.length > 0 && bytes + size > maxBytesPerRequest)) {
      groups.push(group)
      group = []
      bytes = 0
    }
    group.push(message)
    bytes += size
  }
  if (group.length > 0) groups.push(group)
  return groups
}
