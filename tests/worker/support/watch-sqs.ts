import type { SQSClient } from '@aws-sdk/client-sqs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const Received = Compile(
  Type.Object({
    Messages: Type.Array(
      Type.Object({ MessageId: Type.String(), ReceiptHandle: Type.String(), Body: Type.String() }),
    ),
  }),
)
const Batch = Compile(Type.Object({ Entries: Type.Array(Type.Object({ ReceiptHandle: Type.String() })) }))

/**
 * Records the commands that a client sends to SQS, from now on. Messages are those of created objects, without S3's test
 * event.
 */
export function watchSqs(sqs: SQSClient) {
  const counts = new Map<string, number>()
  /** How often each message was received. */
  const received = new Map<string, number>()
  const receiptHandles = new Set<string>()
  let lastReceiptHandle: string | undefined
  let receivedCount = 0
  /** Messages received before the last ReceiveMessage began: all of them were handled. */
  let handledCount = 0
  let deletedCount = 0
  let onReceive = () => {}
  const waiting = new Set<() => void>()

  sqs.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        if (commandName === 'ReceiveMessageCommand') handledCount = receivedCount
        notify()
        const response = await next(args)
        counts.set(commandName, (counts.get(commandName) ?? 0) + 1)
        if (commandName === 'ReceiveMessageCommand' && Received.Check(response.output)) {
          for (const { MessageId: id, ReceiptHandle: handle, Body: body } of response.output.Messages) {
            if (!body.includes('ObjectCreated')) continue
            receivedCount += 1
            receiptHandles.add(handle)
            received.set(id, (received.get(id) ?? 0) + 1)
            lastReceiptHandle = handle
          }
          onReceive()
        }
        if (commandName === 'DeleteMessageBatchCommand' && Batch.Check(args.input)) {
          deletedCount += args.input.Entries.filter((entry) => receiptHandles.has(entry.ReceiptHandle)).length
        }
        notify()
        return response
      },
    { step: 'initialize' },
  )

  function notify(): void {
    for (const check of waiting) check()
  }

  function until(isReached: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const check = () => {
      if (!isReached()) return
      waiting.delete(check)
      resolve()
    }
    waiting.add(check)
    check()
    return promise
  }

  const countOf = (commandName: string) => counts.get(commandName) ?? 0
  return {
    /** Waits for this many responses to a command. */
    until: (commandName: string, times: number) => until(() => countOf(commandName) >= times),
    /** Waits until this many messages were received. */
    received: (messages: number) => until(() => receivedCount >= messages),
    /** Waits until this many messages were received and handled. A message that comes again counts again. */
    handled: (messages: number) => until(() => handledCount >= messages),
    deletedCount: () => deletedCount,
    /** Waits until this many messages were deleted. */
    deleted: (messages: number) => until(() => deletedCount >= messages),
    /** Returns how often each message was received. */
    receives: () => [...received.values()],
    lastReceiptHandle: () => lastReceiptHandle,
    /** Calls a function after each response with messages. */
    onReceive(listener: () => void): void {
      onReceive = listener
    },
  }
}
