import type { buildApp } from 'fauxqs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const receive = Compile(Type.Object({ QueueUrl: Type.String() }))
const received = Compile(Type.Object({ Messages: Type.Array(Type.Object({ ReceiptHandle: Type.String() })) }))

/**
 * Gives messages back that were handed to a consumer who had hung up. fauxqs goes on waiting for a long poll
 * whose connection is closed, so a worker that stopped would swallow the next message, which nobody then
 * sees until its visibility timeout is over.
 */
export function returnUnreceivedMessages(app: ReturnType<typeof buildApp>): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (!reply.raw.destroyed || request.headers['x-amz-target'] !== 'AmazonSQS.ReceiveMessage') return payload
    const answer: unknown = typeof payload === 'string' ? JSON.parse(payload) : undefined
    if (!receive.Check(request.body) || !received.Check(answer)) return payload
    const { QueueUrl } = request.body
    for (const { ReceiptHandle } of answer.Messages) {
      await app.inject({
        method: 'POST',
        url: '/',
        headers: {
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': 'AmazonSQS.ChangeMessageVisibility',
        },
        payload: { QueueUrl, ReceiptHandle, VisibilityTimeout: 0 },
      })
    }
    return payload
  })
}
