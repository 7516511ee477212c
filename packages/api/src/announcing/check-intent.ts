import {
  objectMetadataBytes,
  objectMetadataLimitBytes,
  toObjectMetadata,
} from '@millrace/shared/ledger/object-metadata.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'

/**
 * Validates intents, for all ways to send a file.
 *
 * @param deps.maxUploadBytes limit of a file's size, in bytes
 */
export function createIntentCheck(deps: { presets: Presets; maxUploadBytes: number }) {
  const { presets, maxUploadBytes } = deps

  /**
   * Validates size, preset and length of the metadata.
   *
   * @throws AppError `upload_too_large`, `preset_unknown`, or `invalid_request` if filename and metadata are
   *   too long
   */
  return function checkIntent(intent: UploadIntent): void {
    if (intent.size > maxUploadBytes) {
      throw new AppError('upload_too_large', {
        message: `The file has ${intent.size} bytes; the limit is ${maxUploadBytes} bytes.`,
        limit: maxUploadBytes,
        fields: [{ field: 'size', message: `must be <= ${maxUploadBytes}` }],
      })
    }
    checkPreset(presets, intent.preset)
    checkMetadataLength(intent)
  }
}

/** @throws AppError `invalid_request` if filename and metadata are too long to be stored with an original */
export function checkMetadataLength(intent: UploadIntent): void {
  if (objectMetadataBytes(toObjectMetadata(intent)) <= objectMetadataLimitBytes) return
  throw new AppError('invalid_request', {
    message: `filename and metadata are too long: S3 stores at most ${objectMetadataLimitBytes} bytes of them, encoded.`,
    fields: [{ field: 'metadata', message: 'is too long' }],
    limit: objectMetadataLimitBytes,
  })
}

/** @throws AppError `preset_unknown` if there is no preset with this name */
export function checkPreset(presets: Presets, preset: string): void {
  if (presets.has(preset)) return
  const names = [...presets.keys()].join(', ')
  throw new AppError('preset_unknown', {
    message: `preset is "${preset}"; allowed: ${names}.`,
    fields: [{ field: 'preset', message: `must be one of: ${names}` }],
  })
}

export type CheckIntent = ReturnType<typeof createIntentCheck>
