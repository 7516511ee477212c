import type { S3Client } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Edits } from '@millrace/shared/ledger/edits.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Originals } from '@millrace/shared/ledger/originals.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { createBackfillSlots } from './backfill-slots.ts'
import { createReprocessOutdated } from './reprocess-outdated.ts'

/** Composes reprocessing in bulk, for the command. */
export function createReprocessing(deps: {
  s3: S3Client
  bucket: string
  lifecycle: { manifests: Manifests; edits: Edits; originals: Originals }
  queue: UploadQueue
  config: { presets: Presets; bucketReplicated: boolean; maxQueuedJobs: number }
}) {
  const { s3, bucket, queue, lifecycle, config } = deps
  const { presets, bucketReplicated, maxQueuedJobs } = config
  return createReprocessOutdated({
    s3,
    bucket,
    ...lifecycle,
    queue,
    takeBackfillSlot: createBackfillSlots({ queue, maxQueuedJobs }),
    presets,
    isReplicated: bucketReplicated,
  })
}
