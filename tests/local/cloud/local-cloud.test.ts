import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetBucketCorsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { type LocalCloud, startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const origin = 'http://localhost:3000'
const owner = 'local-cloud-test'

const test = suite('local cloud')
let directory: string

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-cloud-'))
})

test.after.each(() => rm(directory, { recursive: true }))

const start = (allowedOrigins: string[] = []) =>
  startLocalCloud({ directory, redisUrl: 'redis://127.0.0.1:6379', origins: [origin], allowedOrigins })

/** Creates clients as the services do: configured only by the environment variables. */
function connect({ environment }: LocalCloud) {
  const identity = {
    region: environment.AWS_REGION,
    credentials: {
      accessKeyId: environment.AWS_ACCESS_KEY_ID,
      secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
    },
  }
  const s3 = new S3Client({ endpoint: environment.AWS_ENDPOINT_URL_S3, ...identity })
  const sqs = new SQSClient({ endpoint: environment.AWS_ENDPOINT_URL_SQS, ...identity })
  const put = (key: string) =>
    s3.send(new PutObjectCommand({ Bucket: environment.BUCKET, Key: key, Body: 'bytes' }))
  /** Returns the keys in the next message; empty if there is no message within `waitSeconds`. */
  const nextKeys = async (waitSeconds: number): Promise<string[]> => {
    const queue = environment.EVENTS_QUEUE_URL
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl: queue, WaitTimeSeconds: waitSeconds }),
    )
    const [message] = Messages
    if (!message) return []
    await sqs.send(new DeleteMessageCommand({ QueueUrl: queue, ReceiptHandle: message.ReceiptHandle }))
    const { Event: kind, Records: records = [] } = JSON.parse(message.Body ?? '')
    // S3 sends a test message when a notification is configured.
    if (kind === 's3:TestEvent') return nextKeys(waitSeconds)
    return records.map((record: { s3: { object: { key: string } } }) =>
      decodeURIComponent(record.s3.object.key),
    )
  }
  const close = () => {
    s3.destroy()
    sqs.destroy()
  }
  return { s3, put, nextKeys, close }
}

test('local S3 sends an event for each original and for no other object', async () => {
  const cloud = await start()
  const client = connect(cloud)
  const address = { owner, id: newUploadId() }
  await client.put(manifestKey({ owner, id: newUploadId() }))
  await client.put(originalKey(address))
  assert.equal(await client.nextKeys(20), [originalKey(address)])
  assert.equal(await client.nextKeys(0), [])
  client.close()
  await cloud.close()
})

test('a restart of the local cloud resends events only for originals without a manifest', async () => {
  const first = await start()
  const writing = connect(first)
  const finished = { owner, id: newUploadId() }
  const unfinished = { owner, id: newUploadId() }
  for (const key of [originalKey(finished), manifestKey(finished), originalKey(unfinished)]) {
    await writing.put(key)
  }
  writing.close()
  await first.close()

  const second = await start()
  const reading = connect(second)
  assert.equal(await reading.nextKeys(20), [originalKey(unfinished)])
  assert.equal(await reading.nextKeys(0), [])
  reading.close()
  await second.close()
})

test("the bucket's CORS rules let the given origins send files, and let redirects of other origins read", async () => {
  const others = ['http://localhost:5173', 'https://*.example.com']
  const cases: [allowed: string[], rules: string[][]][] = [
    [[], [[origin]]],
    [others, [[origin, ...others], ['null']]],
  ]
  for (const [allowedOrigins, expected] of cases) {
    const cloud = await start(allowedOrigins)
    const client = connect(cloud)
    const { CORSRules = [] } = await client.s3.send(
      new GetBucketCorsCommand({ Bucket: cloud.environment.BUCKET }),
    )
    assert.equal(
      CORSRules.map(({ AllowedOrigins }) => AllowedOrigins),
      expected,
    )
    assert.equal(CORSRules[0]?.ExposeHeaders, ['ETag', 'Location'])
    assert.equal(CORSRules[1]?.AllowedMethods, allowedOrigins.length > 0 ? ['GET', 'HEAD'] : undefined)
    client.close()
    await cloud.close()
  }
})

test('the local credentials survive a restart and are readable by their owner only', async () => {
  const first = await start()
  await first.close()
  const second = await start()
  await second.close()
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = first.environment
  assert.is(second.environment.AWS_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID)
  assert.is(second.environment.AWS_SECRET_ACCESS_KEY, AWS_SECRET_ACCESS_KEY)
  assert.is((await stat(join(directory, 'secrets.json'))).mode & 0o777, 0o600)
})

test.run()
