import {
  objectMetadataBytes,
  objectMetadataLimitBytes,
  toObjectMetadata,
} from '@millrace/shared/ledger/object-metadata.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'

/**
 * Refuses what no way of sending a file may bring in.
 *
 * @param deps.maxUploadBytes the largest file taken
 */
export function createIntentCheck(deps: { presets: Presets; maxUploadBytes: number }) {
  const { presets, maxUploadBytes } = deps

  /** @throws AppError `upload_too_large`, `preset_unknown`, or `invalid_request` where the notes are too long */
  return function checkIntent(intent: UploadIntent): void {
    if (intent.size > maxUploadBytes) {
      throw new AppError('upload_too_large', {
        message: `The file has ${intent.size} bytes; the limit is ${maxUploadBytes} bytes.`,
        limit: maxUploadBytes,
        fields: [{ field: 'size', message: `must be <= ${maxUploadBytes}` }],
      })
    }
    if (!presets.has(intent.preset)) {
      throw new AppError('preset_unknown', {
        message: `There is no preset "${intent.preset}". Known: ${[...presets.keys()].join(', ')}.`,
        fields: [{ field: 'preset', message: 'is not a known preset' }],
      })
    }
    if (objectMetadataBytes(toObjectMetadata(intent)) > objectMetadataLimitBytes) {
      throw new AppError('invalid_request', {
        message: `The file name and the metadata are too long: percent-encoded, S3 keeps ${objectMetadataLimitBytes} bytes of them with the file.`,
        fields: [{ field: 'metadata', message: 'is too long' }],
        limit: objectMetadataLimitBytes,
      })
    }
  }
}

export type CheckIntent = ReturnType<typeof createIntentCheck>
