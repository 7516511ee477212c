import { randomBytes } from 'node:crypto'
import { ListObjectVersionsCommand, PutBucketNotificationConfigurationCommand } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { createApp } from '@millrace/api/app.ts'
import { readConfig } from '@millrace/api/config.ts'
import { connectSubscriberRedis } from '@millrace/shared/connections/connections.ts'
import { parseS3Event } from '@millrace/shared/jobs/s3-event.ts'
import {
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { startWorkerFleet } from './worker-fleet.ts'

const received = Compile(
  Type.Object({ Messages: Type.Array(Type.Object({ ReceiptHandle: Type.String(), Body: Type.String() })) }),
)
/** The input of requests that delete messages or renew their leases. */
const batch = Compile(Type.Object({ Entries: Type.Array(Type.Object({ ReceiptHandle: Type.String() })) }))

export type Region = Awaited<ReturnType<typeof startRegion>>

/**
 * Starts one of several regions: bucket, queue, Redis prefix and API. The test starts the workers. The bucket sends the
 * same events to the queue as the buckets of the stacks.
 *
 * @param options.apiKey the entry for `API_KEYS`
 */
export async function startRegion({ apiKey }: { apiKey: string }) {
  const fleet = await startWorkerFleet({
    acceptsReplicas: true,
    // A held message counts as handled when its lease is renewed for the first time, after a third of it.
    environment: { BUCKET_REPLICATED: 'true', ARRIVAL_LEASE_MS: '3000' },
  })
  const { s3, sqs, bucket, redis, streamingS3, environment } = fleet
  const messages = watchMessages(fleet)
  const { Attributes: { QueueArn } = {} } = await sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: environment['EVENTS_QUEUE_URL'],
      AttributeNames: ['QueueArn'],
    }),
  )
  await s3.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket: bucket,
      NotificationConfiguration: {
        QueueConfigurations: [originalsPrefix, manifestsPrefix, erasuresPrefix, editsPrefix].map((Value) => ({
          QueueArn,
          Events: ['s3:ObjectCreated:*'],
          Filter: { Key: { FilterRules: [{ Name: 'prefix', Value }] } },
        })),
      },
    }),
  )
  const log = createLog({ level: 'silent', instance: 'test' })
  const subscriberRedis = connectSubscriberRedis(environment['REDIS_URL'] ?? '', log)
  const config = readConfig({
    ...environment,
    API_KEYS: apiKey,
    PUBLIC_ORIGIN: 'http://localhost:3000',
    SESSION_KEYS: randomBytes(32).toString('base64'),
    MAX_EVENT_LOOP_DELAY_MS: '0',
  })
  const api = await createApp({ config, log, redis, subscriberRedis, s3, streamingS3, sqs })
  return {
    ...fleet,
    api,
    /** Waits until `times` messages about a key were handled. */
    handled: messages.handled,
    /** Lists key and version of all objects of these uploads, including delete markers. */
    async versions(...addresses: UploadAddress[]): Promise<string[]> {
      const { Versions = [], DeleteMarkers = [] } = await s3.send(
        new ListObjectVersionsCommand({ Bucket: bucket }),
      )
      return [...Versions, ...DeleteMarkers]
        .filter(({ Key }) => addresses.some(({ id }) => Key?.includes(id)))
        .map(({ Key, VersionId }) => `${Key} ${VersionId}`)
        .toSorted()
    },
    async close() {
      await api.close()
      subscriberRedis.disconnect()
      await fleet.close()
    },
  }
}

/** Records the messages that workers receive, and which of them they delete or hold after handling them. */
function watchMessages({
  sqs,
  bucket,
}: Pick<Awaited<ReturnType<typeof startWorkerFleet>>, 'sqs' | 'bucket'>) {
  const keys = new Map<string, string[]>()
  const handled: string[] = []
  const waiting = new Set<() => void>()
  sqs.middlewareStack.add(
    (next) => async (args) => {
      const response = await next(args)
      if (received.Check(response.output)) {
        for (const { ReceiptHandle, Body } of response.output.Messages) {
          keys.set(
            ReceiptHandle,
            (parseS3Event(Body, bucket) ?? []).map(({ key }) => key),
          )
        }
      }
      if (batch.Check(args.input)) {
        for (const { ReceiptHandle } of args.input.Entries) handled.push(...(keys.get(ReceiptHandle) ?? []))
        for (const check of waiting) check()
      }
      return response
    },
    { step: 'initialize' },
  )
  return {
    async handled(key: string, times = 1): Promise<void> {
      await new Promise<void>((resolve) => {
        const check = () => {
          if (handled.filter((handledKey) => handledKey === key).length < times) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      })
    },
  }
}
