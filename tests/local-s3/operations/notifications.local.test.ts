import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'

// Local only: on AWS the events go to a real queue. That is tested by the journeys; it is not part of S3's contract.

type EventRecord = Record<string, unknown> & { eventName: string; s3: { object: Record<string, unknown> } }
type Delivered = { queueArn: string; message: { Event?: string; Bucket?: string; Records?: EventRecord[] } }
const delivered: Delivered[] = []
const waiting: { count: number; resolve: () => void }[] = []
/** Number of deliveries that fail before the next one succeeds. */
let failuresLeft = 0

const queueArn = 'arn:aws:sqs:eu-central-1:000000000000:uploads'
const goneArn = 'arn:aws:sqs:eu-central-1:000000000000:gone'

const target = await openContractTarget({
  async deliver(arn, body) {
    if (arn === goneArn) throw new Error('AWS.SimpleQueueService.NonExistentQueue')
    if (failuresLeft > 0) {
      failuresLeft--
      throw new Error('the queue is down')
    }
    delivered.push({ queueArn: arn, message: JSON.parse(body) })
    for (const waiter of waiting) if (delivered.length >= waiter.count) waiter.resolve()
  },
})
const { client, bucket } = target

/** Waits for `count` messages, removes them from the list and returns them. */
async function take(count: number): Promise<Delivered[]> {
  const { promise, resolve } = Promise.withResolvers<void>()
  waiting.push({ count, resolve })
  if (delivered.length < count) await promise
  waiting.length = 0
  return delivered.splice(0)
}

const record = (delivery: Delivered | undefined) => delivery?.message.Records?.[0]

function configure(
  Events: string[],
  rules: { Name: string; Value: string }[] = [],
  QueueArn = queueArn,
  Id = 'arrivals',
) {
  const Filter = { Key: { FilterRules: rules } }
  const configuration = { Id, QueueArn, Events, ...(rules.length > 0 ? { Filter } : {}) }
  return client.putBucketNotificationConfiguration({
    Bucket: bucket,
    NotificationConfiguration: { QueueConfigurations: [configuration] },
    // The cast admits event names that S3 does not have.
  } as Parameters<typeof client.putBucketNotificationConfiguration>[0])
}

const test = suite('S3 event notifications')
test.after(() => target.close())

test('PutBucketNotificationConfiguration sends the test event and Get returns the configuration', async () => {
  await configure(['s3:ObjectCreated:*', 's3:ObjectRemoved:*'], [{ Name: 'prefix', Value: 'originals/' }])
  const [message] = await take(1)
  assert.is(message?.queueArn, queueArn)
  assert.equal([message?.message.Event, message?.message.Bucket], ['s3:TestEvent', bucket])
  const { QueueConfigurations } = await client.getBucketNotificationConfiguration({ Bucket: bucket })
  assert.equal(QueueConfigurations, [
    {
      Id: 'arrivals',
      QueueArn: queueArn,
      Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'],
      Filter: { Key: { FilterRules: [{ Name: 'Prefix', Value: 'originals/' }] } },
    },
  ])
})

test('an event message has the same fields as on AWS', async () => {
  const { ETag = '' } = await client.putObject({
    Bucket: bucket,
    Key: 'originals/a b+ü/(1).jpg',
    Body: 'hello',
  })
  const [message] = await take(1)
  assert.is(message?.message.Records?.length, 1)
  const first: Partial<EventRecord> = record(message) ?? {}
  assert.equal(Object.keys(first), [
    'eventVersion',
    'eventSource',
    'awsRegion',
    'eventTime',
    'eventName',
    'userIdentity',
    'requestParameters',
    'responseElements',
    's3',
  ])
  assert.equal(
    [first['eventVersion'], first['eventSource'], first['awsRegion'], first['eventName']],
    ['2.1', 'aws:s3', 'eu-central-1', 'ObjectCreated:Put'],
  )
  assert.ok(Math.abs(Date.now() - Date.parse(String(first['eventTime']))) < 60_000)
  const { sequencer, ...object } = first.s3?.object ?? {}
  assert.equal(object, {
    key: 'originals/a+b%2B%C3%BC/%281%29.jpg',
    size: 5,
    eTag: ETag.replaceAll('"', ''),
  })
  assert.match(String(sequencer), /^[0-9A-F]{16,}$/)
})

test('each way to create or delete an object has its own event name', async () => {
  const at = { Bucket: bucket, Key: 'originals/names' }
  await client.putObject({ ...at, Body: 'x' })
  await client.copyObject({ ...at, CopySource: `${bucket}/originals/names`, MetadataDirective: 'REPLACE' })
  const { UploadId } = await client.createMultipartUpload(at)
  const { ETag } = await client.uploadPart({ ...at, UploadId, PartNumber: 1, Body: 'part' })
  await client.completeMultipartUpload({
    ...at,
    UploadId,
    MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
  })
  await client.deleteObject(at)
  const messages = await take(4)
  assert.equal(
    messages.map((message) => record(message)?.eventName),
    [
      'ObjectCreated:Put',
      'ObjectCreated:Copy',
      'ObjectCreated:CompleteMultipartUpload',
      'ObjectRemoved:Delete',
    ],
  )
  const sequencers = messages.map((message) => String(record(message)?.s3.object['sequencer']))
  assert.equal(sequencers, sequencers.toSorted())
  assert.is(new Set(sequencers).size, 4)
})

test('a notification filter selects keys by prefix and suffix', async () => {
  await configure(
    ['s3:ObjectCreated:Put'],
    [
      { Name: 'prefix', Value: 'in/' },
      { Name: 'suffix', Value: '.jpg' },
    ],
  )
  await take(1)
  for (const Key of ['in/a.png', 'out/a.jpg', 'in/a.jpg', 'in/b.jpg.txt', 'in/c.jpg']) {
    await client.putObject({ Bucket: bucket, Key, Body: 'x' })
  }
  await client.deleteObject({ Bucket: bucket, Key: 'in/a.jpg' })
  const keys = (await take(2)).map((message) => record(message)?.s3.object['key'])
  assert.equal(keys, ['in/a.jpg', 'in/c.jpg'])
})

test('after an outage of the queue all events are delivered, in order per key', async () => {
  failuresLeft = 4
  const bodies = ['1', '22', '333', '4444']
  for (const Body of bodies) await client.putObject({ Bucket: bucket, Key: 'in/order.jpg', Body })
  const sizes = (await take(4)).map((message) => record(message)?.s3.object['size'])
  assert.equal(sizes, [1, 2, 3, 4])
})

test('the response to an upload does not wait for its event', async () => {
  failuresLeft = 1
  await client.putObject({ Bucket: bucket, Key: 'in/early.jpg', Body: 'x' })
  assert.is(delivered.length, 0)
  assert.is((await take(1)).length, 1)
})

test('a rejected write causes no event', async () => {
  await expectS3Error(
    client.putObject({ Bucket: bucket, Key: 'in/early.jpg', Body: 'y', IfNoneMatch: '*' }),
    'PreconditionFailed',
    412,
  )
  await client.putObject({ Bucket: bucket, Key: 'in/marker.jpg', Body: 'x' })
  assert.equal(
    (await take(1)).map((message) => record(message)?.s3.object['key']),
    ['in/marker.jpg'],
  )
})

test('an invalid notification configuration, or one for a missing queue, is rejected', async () => {
  await expectS3Error(configure(['s3:ObjectCreated:Nonsense']), 'InvalidArgument', 400)
  await expectS3Error(configure(['s3:ObjectCreated:*'], [], 'not-an-arn'), 'InvalidArgument', 400)
  await expectS3Error(
    configure(['s3:ObjectCreated:*'], [{ Name: 'infix', Value: 'x' }]),
    'InvalidArgument',
    400,
  )
  await expectS3Error(configure(['s3:ObjectCreated:*'], [], goneArn), 'InvalidArgument', 400)
  const overlapping = client.putBucketNotificationConfiguration({
    Bucket: bucket,
    NotificationConfiguration: {
      QueueConfigurations: [
        { QueueArn: queueArn, Events: ['s3:ObjectCreated:*'] },
        { QueueArn: queueArn, Events: ['s3:ObjectCreated:Put'] },
      ],
    },
  })
  await expectS3Error(overlapping, 'InvalidArgument', 400)
  const { QueueConfigurations = [] } = await client.getBucketNotificationConfiguration({ Bucket: bucket })
  assert.equal(
    QueueConfigurations.map(({ Events }) => Events),
    [['s3:ObjectCreated:Put']],
  )
})

test('an empty notification configuration stops events', async () => {
  await client.putBucketNotificationConfiguration({ Bucket: bucket, NotificationConfiguration: {} })
  await client.putObject({ Bucket: bucket, Key: 'in/silent.jpg', Body: 'x' })
  await configure(['s3:ObjectCreated:*'])
  assert.equal(
    (await take(1)).map(({ message }) => message.Event),
    ['s3:TestEvent'],
  )
})

test.run()
