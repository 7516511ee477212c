import type { S3Client } from '@aws-sdk/client-s3'
import { createFinishedUploads } from '@millrace/shared/fleet/finished-uploads.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { createPublishProgress } from '@millrace/shared/uploads/upload-progress.ts'
import type { Redis } from 'ioredis'
import type { Decoders } from '../decoders/decoders.ts'
import { createScanning, type ScanConfig } from '../scanning/scanning.ts'
import { createFailUpload } from './fail-upload.ts'
import { createFinishUpload } from './finish-upload.ts'
import { createFileInspector } from './inspect-file.ts'
import { createProcessUpload } from './process-upload.ts'
import { createOriginalReader } from './read-original.ts'
import { createTellReceived } from './tell-received.ts'
import { createVariantWriter } from './write-variant.ts'

/**
 * Composes the processing of arrived uploads: inspect, scan, render, write, finish.
 *
 * @param deps.version of this worker
 */
export function createProcessing(deps: {
  s3: S3Client
  bucket: string
  redis: Redis
  prefix: string
  version: string
  lifecycle: Lifecycle
  decoders: Pick<Decoders, 'renderImage' | 'inspectMedia' | 'reserveFile'>
  config: { presets: Presets; maxImageBytes: number; disabledTypes: readonly string[]; scan: ScanConfig }
}) {
  const { s3, bucket, config } = deps
  const { records, edits, manifests, originals, originalVersions, lookup } = deps.lifecycle
  const { erasures, isErased, finishErasure, removeRejectedBytes, outbox, withdrawals } = deps.lifecycle
  const { presets, maxImageBytes, disabledTypes } = config
  const finishUpload = createFinishUpload({
    manifests,
    edits,
    records,
    erasures,
    finishErasure,
    removeRejectedBytes,
    originalVersions,
    outbox,
    withdrawals,
  })
  const finishedUploads = createFinishedUploads(deps)
  return {
    finishUpload,
    failUpload: createFailUpload({ lookup, manifests, presets, finishUpload, finishedUploads }),
    processUpload: createProcessUpload({
      lookup,
      records,
      originals,
      manifests,
      presets,
      openOriginal: createOriginalReader({ s3, bucket }),
      inspectFile: createFileInspector({
        writeVariant: createVariantWriter({ s3, bucket }),
        ...deps.decoders,
        maxImageBytes,
        disabledTypes: new Set(disabledTypes),
        openScan: createScanning({ s3, bucket, config }),
      }),
      finishUpload,
      finishedUploads,
      tellReceived: createTellReceived({ manifests, outbox }),
      isErased,
      finishErasure,
      publishProgress: createPublishProgress(deps),
      tools: { millrace: deps.version, node: process.versions.node },
    }),
  }
}

export type Processing = ReturnType<typeof createProcessing>
