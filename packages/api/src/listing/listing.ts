import type { S3Client } from '@aws-sdk/client-s3'
import { createListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import { createListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { RequestOwner } from '../identity/request-owner.ts'
import { createCompleteIndex } from './complete-index.ts'
import { createListUploads } from './list-uploads.ts'
import { createListedOwner } from './listed-owner.ts'
import { createNewestIds } from './newest-ids.ts'
import { createOldestIds } from './oldest-ids.ts'

/**
 * Composes how an owner's uploads are listed and found: from Redis' index, which is completed from S3.
 *
 * @param deps.closing aborts when this instance shuts down
 */
export function createListing(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  log: Logger
  lifecycle: Pick<Lifecycle, 'lookup' | 'epoch'>
  owner: RequestOwner
  closing: AbortSignal
}) {
  const { redis, prefix, s3, bucket, log, owner, closing } = deps
  const { lookup, epoch } = deps.lifecycle
  const index = createUploadIndex({ redis, prefix })
  const listUploadIds = createListUploadIds({ s3, bucket })
  const listOldestUploadIds = createListOldestUploadIds({ s3, bucket })
  const completeIndex = createCompleteIndex({ redis, prefix, index, listUploadIds, log, closing })
  return {
    listedOwner: createListedOwner({ owner }),
    listUploads: createListUploads({
      index,
      newestIds: createNewestIds({ index, epoch, completeIndex, listUploadIds }),
      oldestIds: createOldestIds({ index, epoch, completeIndex, listOldestUploadIds }),
      lookup,
    }),
  }
}

export type Listing = ReturnType<typeof createListing>
