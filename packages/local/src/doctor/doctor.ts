import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { apiChecks } from './api-checks.ts'
import { bucketChecks } from './bucket-checks.ts'
import { clockChecks } from './clock-checks.ts'
import type { Check } from './finding.ts'
import { allocatorCheck, diskCheck, presetsCheck } from './machine-checks.ts'
import { permissionChecks } from './permission-checks.ts'
import { queueArnOf, queueChecks } from './queue-checks.ts'
import { redisChecks } from './redis-checks.ts'

/** What the checks connect to: the variables of a service (.env.example). */
export type DoctorEnvironment = {
  BUCKET: string
  EVENTS_QUEUE_URL: string
  REDIS_URL: string
  REDIS_PREFIX?: string | undefined
  PUBLIC_ORIGIN?: string | undefined
  PRESETS?: string | undefined
  PRESETS_FILE?: string | undefined
}

export type Doctor = { checks: Check[]; close(): void }

/**
 * Creates the checks of a system whose services this machine can reach: that of `npm start`, or one of the environment.
 * AWS clients read the SDK's own variables.
 *
 * @param options.directory of `npm start`; undefined: the system is not on this machine
 * @param options.apiKey sends the small image
 */
export function createSystemDoctor(options: {
  environment: DoctorEnvironment
  directory: string | undefined
  apiKey: string | undefined
}): Doctor {
  const { environment, directory, apiKey } = options
  const { BUCKET: bucket, EVENTS_QUEUE_URL: queueUrl, REDIS_URL: url, PUBLIC_ORIGIN: origin } = environment
  const s3 = new S3Client({ maxAttempts: 2 })
  const sqs = new SQSClient({ maxAttempts: 2 })
  const redis = connectRedis(url, createLog({ level: 'silent', instance: 'doctor' }))
  return {
    checks: [
      ...(directory === undefined ? [] : [diskCheck(directory)]),
      presetsCheck(environment),
      ...redisChecks({ redis, url, prefix: environment.REDIS_PREFIX || 'millrace' }),
      ...bucketChecks({
        s3,
        bucket,
        origin: origin && new URL(origin).origin,
        queueArn: () => queueArnOf(sqs, queueUrl),
        isLocal: directory !== undefined,
      }),
      ...queueChecks({ sqs, queueUrl }),
      ...clockChecks({ s3, bucket }),
      ...permissionChecks({ s3, sqs, bucket, queueUrl }),
      allocatorCheck(),
      ...apiChecks({ origin, apiKey }),
    ],
    close() {
      redis.disconnect()
      sqs.destroy()
      s3.destroy()
    },
  }
}
