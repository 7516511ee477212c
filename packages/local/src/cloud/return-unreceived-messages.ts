import type { buildApp } from 'fauxqs'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const ReceiveRequest = Compile(Type.Object({ QueueUrl: Type.String() }))
const ReceiveResponse = Compile(
  Type.Object({ Messages: Type.Array(Type.Object({ ReceiptHandle: Type.String() })) }),
)

/**
 * Makes messages visible again that were sent to a consumer that had disconnected. fauxqs continues a long poll
 * after its connection is closed. Without this, the next message would go to a worker that has stopped, and no
 * other worker would see it until its visibility timeout ends.
 */
export function returnUnreceivedMessages(app: ReturnType<typeof buildApp>): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (!reply.raw.destroyed || request.headers['x-amz-target'] !== 'AmazonSQS.ReceiveMessage') return payload
    const response: unknown = typeof payload === 'string' ? JSON.parse(payload) : undefined
    if (!ReceiveRequest.Check(request.body) || !ReceiveResponse.Check(response)) return payload
    const { QueueUrl } = request.body
    for (const { ReceiptHandle } of response.Messages) {
      await app.inject({
        method: 'POST',
        url: '/',
        headers: {
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': 'AmazonSQS.ChangeMessageVisibility',
          authorization: request.headers.authorization,
        },
        payload: { QueueUrl, ReceiptHandle, VisibilityTimeout: 0 },
      })
    }
    return payload
  })
}
