import type { S3Client } from '@aws-sdk/client-s3'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import type { Decoders } from '../decoders/decoders.ts'
import { createFailUpload } from './fail-upload.ts'
import { createFinishUpload } from './finish-upload.ts'
import { createFileInspector } from './inspect-file.ts'
import { createProcessUpload } from './process-upload.ts'
import { createOriginalReader } from './read-original.ts'
import { createVariantWriter } from './write-variant.ts'

/** Composes the processing of arrived uploads: inspect, render, write, finish. */
export function createProcessing(deps: {
  s3: S3Client
  bucket: string
  lifecycle: Lifecycle
  decoders: Pick<Decoders, 'renderImage' | 'inspectMedia' | 'reserveFile'>
  config: { presets: Presets; maxImageBytes: number; disabledTypes: readonly string[] }
}) {
  const { s3, bucket, config } = deps
  const { records, manifests, originals, originalVersions, lookup } = deps.lifecycle
  const { erasures, isErased, finishErasure, removeRejectedBytes } = deps.lifecycle
  const { presets, maxImageBytes, disabledTypes } = config
  const finishUpload = createFinishUpload({
    manifests,
    records,
    erasures,
    finishErasure,
    removeRejectedBytes,
    originalVersions,
  })
  return {
    finishUpload,
    failUpload: createFailUpload({ lookup, manifests, presets, finishUpload }),
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
      }),
      finishUpload,
      isErased,
      finishErasure,
    }),
  }
}

export type Processing = ReturnType<typeof createProcessing>
