import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { type App, createApp } from '@millrace/api/app.ts'
import { readConfig } from '@millrace/api/config.ts'
import type { FindTemporaryCredentials } from '@millrace/local-s3/signing/signature-v4.ts'
import {
  connectRedis,
  connectStreamingS3,
  connectSubscriberRedis,
} from '@millrace/shared/connections/connections.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Logger } from 'pino'
import { startApiCloud } from './api-cloud.ts'
import { expectDocumentedResponses } from './documented-responses.ts'

export type ApiInstances = Awaited<ReturnType<typeof startApiInstances>>

/** The S3 clients of the instances. `publicS3` signs what clients send to S3 themselves. */
export type InstanceS3 = { s3: S3Client; streamingS3: S3Client; publicS3?: S3Client }

/**
 * Starts API instances in this process, with their own local cloud: real HTTP, real Redis with a unique key
 * prefix, real S3 and SQS protocols. There is no worker, so a test itself does what a worker would do.
 *
 * @param options.count number of instances, default 1
 * @param options.environment replaces variables of the instances
 * @param options.redisUrl another Redis than that of the test run
 * @param options.directory the data directory of the local cloud; default: one of its own. `close` deletes it
 * @param options.temporaryCredentials finds credentials that S3 accepts besides its own
 * @param options.connectS3 creates the instances' S3 clients, so that a test can break them; the test closes them
 * @param options.log the instances' log; default: none
 */
export async function startApiInstances(
  options: {
    count?: number
    environment?: Environment
    redisUrl?: string
    directory?: string
    temporaryCredentials?: FindTemporaryCredentials
    connectS3?: (access: S3ClientConfig & { endpoint: string }) => Promise<InstanceS3>
    log?: Logger
  } = {},
) {
  const cloud = await startApiCloud(options)
  const { redisUrl, environment, identity, endpoints } = cloud
  const s3 = new S3Client({ endpoint: endpoints.s3, ...identity })
  const streamingS3 = connectStreamingS3({ endpoint: endpoints.s3, ...identity })
  const instanceS3 = (await options.connectS3?.({ endpoint: endpoints.s3, ...identity })) ?? {
    s3,
    streamingS3,
  }
  const sqs = new SQSClient({ endpoint: endpoints.sqs, ...identity })
  const { log = createLog({ level: 'silent', instance: 'test' }) } = options
  const redis = connectRedis(redisUrl, log)
  const subscriberIds: number[] = []
  const instances: { app: App; url: string; close(): Promise<void> }[] = []
  const startInstance = async (ownEnvironment: Environment = {}) => {
    const config = readConfig({
      ...environment,
      INSTANCE: `api-${instances.length + 1}`,
      ...ownEnvironment,
    })
    const subscriberRedis = connectSubscriberRedis(config.redisUrl, log)
    subscriberIds.push(await subscriberRedis.client('ID'))
    const instanceRedis = connectRedis(config.redisUrl, log)
    const app = await createApp({ config, log, redis: instanceRedis, subscriberRedis, sqs, ...instanceS3 })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    // The routes, the path of their links and the name of the cookie.
    const sameDocument = [app.printRoutes(), config.publicPath, new URL(config.publicOrigin).protocol].join()
    const endChecks = expectDocumentedResponses(url, sameDocument, () => app.swagger())
    const close = async () => {
      await app.close()
      endChecks()
      subscriberRedis.disconnect()
      instanceRedis.disconnect()
    }
    const instance = { app, url, close }
    instances.push(instance)
    return instance
  }
  for (let count = 0; count < (options.count ?? 1); count++) await startInstance()
  const [first] = instances
  if (!first) throw new Error('options.count must be at least 1.')
  return {
    url: first.url,
    app: first.app,
    urls: instances.map(({ url }) => url),
    environment,
    prefix: environment.REDIS_PREFIX,
    bucket: cloud.bucket,
    s3,
    streamingS3,
    sqs,
    redis,
    /** Starts one more instance. @param ownEnvironment replaces variables of this instance */
    startInstance,
    /** Closes the Redis connections on which these instances receive changes. */
    async cutSubscribers() {
      for (const id of subscriberIds) await redis.client('KILL', 'ID', id)
    },
    /** Stops S3 and SQS. */
    stopCloud: cloud.stop,
    async close() {
      for (const { close } of instances) await close()
      redis.disconnect()
      streamingS3.destroy()
      s3.destroy()
      sqs.destroy()
      await cloud.close()
    },
  }
}
