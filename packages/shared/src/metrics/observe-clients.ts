import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Redis } from 'ioredis'
import type { CallsOf } from './metrics.ts'
import { observeS3, observeSqs } from './observe-aws-client.ts'
import { observeRedis } from './observe-redis.ts'

/** Records all calls that a process makes with its clients. Call it once, before the clients are used or duplicated. */
export function observeClients(
  clients: { redis: readonly Redis[]; s3: readonly S3Client[]; sqs: SQSClient },
  callsOf: CallsOf,
): void {
  for (const redis of clients.redis) observeRedis(redis, callsOf)
  for (const s3 of clients.s3) observeS3(s3, callsOf)
  observeSqs(clients.sqs, callsOf)
}
