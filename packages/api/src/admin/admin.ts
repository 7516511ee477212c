import type { SQSClient } from '@aws-sdk/client-sqs'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { createDeadLetters } from '@millrace/shared/jobs/dead-letters.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import { deadLetterRoutes } from './dead-letter-routes.ts'

/** Adds what operators repair with: dead letters. All routes need the scope `admin`. */
export function registerAdmin(
  scope: Api,
  deps: {
    redis: Redis
    prefix: string
    sqs: SQSClient
    bucket: string
    lifecycle: { records: UploadRecords }
    config: { eventsQueueUrl: string; deadLetterQueueUrl: string | undefined }
  },
): void {
  const { sqs, bucket, lifecycle } = deps
  const { eventsQueueUrl, deadLetterQueueUrl } = deps.config
  deadLetterRoutes(scope, {
    deadLetters:
      deadLetterQueueUrl === undefined
        ? undefined
        : createDeadLetters({ sqs, deadLetterQueueUrl, eventsQueueUrl }),
    failures: createArrivalFailures(deps),
    records: lifecycle.records,
    bucket,
  })
}
