import type { SQSClient } from '@aws-sdk/client-sqs'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { createDeadLetters } from '@millrace/shared/jobs/dead-letters.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import { deadLetterRoutes } from './dead-letter-routes.ts'
import { createQueueBoard } from './queue-board.ts'
import { boardPath, queueBoardRoutes } from './queue-board-routes.ts'

/**
 * Adds what operators repair with: dead letters, and the board of the queues. All routes need the scope `admin`.
 *
 * @param deps.queues their connection, for the board's own queues
 */
export function registerAdmin(
  scope: Api,
  deps: {
    redis: Redis
    prefix: string
    sqs: SQSClient
    queues: { redis: Redis }
    bucket: string
    lifecycle: { records: UploadRecords }
    config: { eventsQueueUrl: string; deadLetterQueueUrl: string | undefined; publicPath: string }
  },
): void {
  const { sqs, bucket, prefix, queues, lifecycle } = deps
  const { eventsQueueUrl, deadLetterQueueUrl, publicPath } = deps.config
  deadLetterRoutes(scope, {
    deadLetters:
      deadLetterQueueUrl === undefined
        ? undefined
        : createDeadLetters({ sqs, deadLetterQueueUrl, eventsQueueUrl }),
    failures: createArrivalFailures(deps),
    records: lifecycle.records,
    bucket,
  })
  const board = createQueueBoard({ redis: queues.redis, prefix, basePath: `${publicPath}${boardPath}` })
  scope.addHook('onClose', () => board.close())
  queueBoardRoutes(scope, { board })
}
