import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import type { FindTemporaryCredentials } from '@millrace/local-s3/signing/signature-v4.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'

/**
 * Starts what API instances need besides Redis: a local cloud of their own. A test that starts all its instances as processes
 * loads nothing of the API.
 *
 * @param options.environment replaces variables of the instances
 * @param options.redisUrl another Redis than that of the test run
 * @param options.directory the data directory of the local cloud; default: one of its own. `close` deletes it
 * @param options.temporaryCredentials finds credentials that S3 accepts besides its own
 * @returns the instances' environment, with a unique prefix of Redis' keys; and how to stop the cloud: `stop`, or `close`, which
 *   also deletes its data
 */
export async function startApiCloud(
  options: {
    environment?: Environment
    redisUrl?: string
    directory?: string
    temporaryCredentials?: FindTemporaryCredentials
  } = {},
) {
  const redisUrl = options.redisUrl ?? process.env['REDIS_URL']
  if (!redisUrl) throw new Error('REDIS_URL is not set: run the tests through tests/run.ts.')
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'millrace-api-')))
  const origin = options.environment?.['PUBLIC_ORIGIN'] ?? 'http://localhost:3000'
  const cloud = await startLocalCloud({
    directory,
    redisUrl,
    origins: [new URL(origin).origin],
    ...(options.temporaryCredentials && { temporaryCredentials: options.temporaryCredentials }),
  })
  const environment = {
    ...cloud.environment,
    PUBLIC_ORIGIN: origin,
    REDIS_PREFIX: `test-${randomUUID()}`,
    SESSION_KEYS: randomBytes(32).toString('base64'),
    LOG_LEVEL: 'silent',
    // Instances may share their process with the tests. On a busy machine they would refuse the tests' requests.
    MAX_EVENT_LOOP_DELAY_MS: '0',
    ANONYMOUS_UPLOADS: 'on',
    // For the same reason Redis may respond late, but every request must be counted.
    RATE_LIMIT_TIMEOUT_MS: '20000',
    ...options.environment,
  }
  return {
    redisUrl,
    environment,
    bucket: cloud.environment.BUCKET,
    /** How a client reaches the cloud. */
    identity: {
      region: cloud.environment.AWS_REGION,
      credentials: {
        accessKeyId: cloud.environment.AWS_ACCESS_KEY_ID,
        secretAccessKey: cloud.environment.AWS_SECRET_ACCESS_KEY,
      },
    },
    endpoints: { s3: cloud.environment.AWS_ENDPOINT_URL_S3, sqs: cloud.environment.AWS_ENDPOINT_URL_SQS },
    stop: cloud.close,
    async close() {
      await cloud.close()
      await rm(directory, { recursive: true })
    },
  }
}

export type ApiCloud = Awaited<ReturnType<typeof startApiCloud>>
