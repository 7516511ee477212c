import { type Message, SQSClient } from '@aws-sdk/client-sqs'

/** A request to SQS, with its parameters. */
export type SqsRequest = { name: string; input: Record<string, unknown> }

/**
 * A client of an SQS that exists in this process only: it hands out messages that a test gives, and answers all other requests
 * as successful.
 */
export function createScriptedSqs() {
  const sqs = new SQSClient({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  const requests: SqsRequest[] = []
  const batches: Message[][] = []
  const waiting = new Set<() => void>()
  let isEnded = false
  let answer: (request: SqsRequest) => object = () => ({})
  const notify = () => {
    for (const check of [...waiting]) check()
  }

  async function until(isTrue: () => boolean): Promise<void> {
    if (isTrue()) return
    await new Promise<void>((resolve) => {
      const check = () => {
        if (!isTrue()) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
    })
  }

  sqs.middlewareStack.add(
    (_next, context) => async (args) => {
      const name = (context['commandName'] ?? '').replace(/Command$/, '')
      const request = { name, input: { ...args.input } }
      requests.push(request)
      notify()
      let output = answer(request)
      if (name === 'ReceiveMessage') {
        // As a long poll that lasts until there are messages.
        await until(() => batches.length > 0 || isEnded)
        output = { Messages: batches.shift() ?? [] }
      }
      return { response: {}, output: { $metadata: {}, ...output } }
    },
    { step: 'initialize' },
  )

  return {
    sqs,
    requests,
    /** The requests of one kind. */
    of: (name: string) => requests.filter((request) => request.name === name),
    /** Waits until requests are as given. */
    until,
    /** Hands out messages with the next poll. */
    send(...messages: Message[]): void {
      batches.push(messages)
      notify()
    },
    /** What is returned for requests that do not receive. */
    answerWith(next: (request: SqsRequest) => object): void {
      answer = next
    },
    /** Ends all polls from now on. */
    end(): void {
      isEnded = true
      notify()
      sqs.destroy()
    },
  }
}
