import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { type SqsServer, startSqsServer } from '@millrace/local/cloud/sqs-server.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const identity = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
}

const test = suite('sqs server')
let server: SqsServer
let client: SQSClient

test.before(async () => {
  server = await startSqsServer(identity)
  client = new SQSClient({ endpoint: server.endpoint, ...identity })
})

test.after(async () => {
  client.destroy()
  await server.close()
})

test('the SQS endpoint and its queue URL are on loopback', () => {
  assert.is(new URL(server.endpoint).hostname, '127.0.0.1')
  assert.is(new URL(server.eventsQueueUrl).origin, server.endpoint)
})

test('requests without the access key are refused: pages in a browser cannot use the queue', async () => {
  const send = async (path: string, options: RequestInit) =>
    (await fetch(new URL(path, server.endpoint), options)).status
  const { pathname } = new URL(server.eventsQueueUrl)
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const body = `Action=PurgeQueue&QueueUrl=${encodeURIComponent(server.eventsQueueUrl)}`
  const json = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ListQueues' }
  const other =
    'AWS4-HMAC-SHA256 Credential=other/20261127/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0'
  assert.is(await send('/', { method: 'POST', headers: form, body }), 403)
  assert.is(await send(pathname, { method: 'POST', headers: form, body }), 403)
  assert.is(await send('/', { method: 'POST', headers: json, body: '{}' }), 403)
  assert.is(await send('/', { method: 'POST', headers: { ...json, authorization: other }, body: '{}' }), 403)
  assert.is(await send('/_fauxqs/queues', {}), 403)
  assert.is(await send('/bucket', { method: 'PUT' }), 403)
  assert.is(await send('/health', {}), 200)
})

test('a message is delivered once to a waiting consumer', async () => {
  const receive = () =>
    client.send(new ReceiveMessageCommand({ QueueUrl: server.eventsQueueUrl, WaitTimeSeconds: 20 }))
  const waiting = receive()
  await client.send(new SendMessageCommand({ QueueUrl: server.eventsQueueUrl, MessageBody: 'arrived' }))
  const { Messages } = await waiting
  assert.equal(
    Messages?.map(({ Body }) => Body),
    ['arrived'],
  )
})

test('a message goes to the next consumer if the waiting one has disconnected', async () => {
  const disconnect = new AbortController()
  const receive = () => new ReceiveMessageCommand({ QueueUrl: server.eventsQueueUrl, WaitTimeSeconds: 20 })
  const gone = client.send(receive(), { abortSignal: disconnect.signal }).catch((error: unknown) => error)
  // Its response arrives after the long poll has begun: requests of one client to one server keep their order.
  await client.send(new GetQueueAttributesCommand({ QueueUrl: server.eventsQueueUrl }))
  disconnect.abort()
  await gone
  await client.send(new GetQueueAttributesCommand({ QueueUrl: server.eventsQueueUrl }))
  await client.send(new SendMessageCommand({ QueueUrl: server.eventsQueueUrl, MessageBody: 'undelivered' }))
  const { Messages } = await client.send(receive())
  assert.equal(
    Messages?.map(({ Body }) => Body),
    ['undelivered'],
  )
})

test('a received message is hidden for a minute and moves to the dead-letter queue after 60 receives', async () => {
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: server.eventsQueueUrl, AttributeNames: ['All'] }),
  )
  assert.is(Attributes?.['VisibilityTimeout'], '60')

  await client.send(new SendMessageCommand({ QueueUrl: server.eventsQueueUrl, MessageBody: 'poison' }))
  const receive = async (url: string) => {
    const { Messages } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: url, VisibilityTimeout: 0, WaitTimeSeconds: 0 }),
    )
    return Messages?.[0]?.Body
  }
  const received: unknown[] = []
  for (let round = 1; round <= 61; round += 1) received.push(await receive(server.eventsQueueUrl))
  assert.equal(received, [...Array.from({ length: 60 }, () => 'poison'), undefined])
  assert.is(await receive(server.deadLetterQueueUrl), 'poison')
})

test('closing the SQS server ends a long poll immediately', async () => {
  const other = await startSqsServer(identity)
  const polling = new SQSClient({ endpoint: other.endpoint, maxAttempts: 1, ...identity })
  const connected = new Promise<void>((resolve) => {
    polling.middlewareStack.add(
      (next) => (parameters) => {
        const response = next(parameters)
        resolve()
        return response
      },
      { step: 'deserialize', priority: 'low' },
    )
  })
  const poll = polling
    .send(new ReceiveMessageCommand({ QueueUrl: other.eventsQueueUrl, WaitTimeSeconds: 20 }))
    .then(
      () => 'waited for 20 s',
      (error: Error) => error.name,
    )
  await connected
  await other.close()
  // What the SDK calls a connection that was closed.
  assert.is(await poll, 'TimeoutError')
  polling.destroy()
})

test.run()
