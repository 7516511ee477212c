import { mayAcceptDeclared } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { maxFileBytesName, tooLarge } from '@millrace/shared/uploads/file-errors.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { Caller } from '../credentials/caller.ts'
import { stampedMetadata } from '../credentials/stamped-metadata.ts'

/** Who announces a file: its upload token has limits, anything else has none. */
type Bearer = Pick<Caller, 'kind' | 'limits' | 'metadata'>

/**
 * Checks a file against the limits of its upload token, and completes the intent with what the token says of it: metadata,
 * and the types that the worker accepts once it has detected the file's type. For all ways to send a file.
 *
 * @param caller who announces the file
 * @throws AppError `upload_too_large`, `token_limit`
 */
export function applyTokenLimits(caller: Bearer | undefined, intent: UploadIntent): UploadIntent {
  if (!caller?.limits && !caller?.metadata) return intent
  const { maxFileBytes, accept } = caller.limits ?? {}
  if (maxFileBytes !== undefined && intent.size > maxFileBytes) {
    throw new AppError('upload_too_large', {
      message: `The file has ${intent.size} bytes; maxFileBytes of the upload token is ${maxFileBytes}.`,
      limit: maxFileBytes,
      fields: [{ field: 'size', message: `must be <= ${maxFileBytes}` }],
    })
  }
  if (accept && !mayAcceptDeclared({ accept }, intent.contentType)) {
    const types = accept.join(', ')
    throw new AppError('token_limit', {
      message: `The file is declared as ${intent.contentType}; accept of the upload token: ${types}.`,
      fields: [{ field: 'contentType', message: `must be one of: ${types}` }],
    })
  }
  checkTokenPreset(caller, intent.preset)
  const metadata = stampedMetadata(caller, intent.metadata)
  return {
    ...intent,
    ...(metadata && { metadata }),
    ...(caller.metadata && { stamped: Object.keys(caller.metadata) }),
    ...(accept && { accept }),
  }
}

/**
 * Checks a preset that a caller names, for a new file or to process one again.
 * @throws AppError `token_limit` if the caller's upload token does not allow it
 */
export function checkTokenPreset(caller: Pick<Caller, 'limits'> | null | undefined, preset: string): void {
  const presets = caller?.limits?.presets
  if (!presets || presets.includes(preset)) return
  const names = presets.join(', ')
  throw new AppError('token_limit', {
    message: `preset is "${preset}"; presets of the upload token: ${names}.`,
    fields: [{ field: 'preset', message: `must be one of: ${names}` }],
  })
}

/**
 * Checks the size that an import declares. The worker that downloads a file knows no token, so its bytes are counted before.
 *
 * @param size bytes; undefined if it is not declared
 * @throws AppError `token_limit` if the bytes of the caller's upload token are counted and no size is declared
 */
export function checkTokenImport(caller: Pick<Caller, 'limits'> | undefined, size: number | undefined): void {
  if (size !== undefined || caller?.limits?.maxBytes === undefined) return
  throw new AppError('token_limit', {
    message: 'maxBytes of the upload token requires the size of a file that is imported.',
    fields: [{ field: 'size', message: 'is required' }],
  })
}

/** A limit of a body whose length is unknown, in bytes, and the error of a body that exceeds it. */
export type BodyLimit = { limitBytes: number; exceeded?: () => AppError }

/**
 * Returns the smallest limit of a body of unknown length: that of the service, or one of the caller's upload token.
 *
 * @param maxUploadBytes that of the service
 */
export function bodyLimit(caller: Pick<Caller, 'limits'> | undefined, maxUploadBytes: number): BodyLimit {
  const { maxFileBytes, maxBytes } = caller?.limits ?? {}
  const limits: BodyLimit[] = [{ limitBytes: maxUploadBytes }]
  if (maxFileBytes !== undefined) {
    const exceeded = () => tooLarge(maxFileBytes, maxFileBytesName)
    limits.push({ limitBytes: maxFileBytes, exceeded })
  }
  if (maxBytes !== undefined) {
    const message = `The file has more than ${maxBytes} bytes, which is maxBytes of the upload token.`
    const exceeded = () => new AppError('token_used_up', { message, limit: maxBytes })
    limits.push({ limitBytes: maxBytes, exceeded })
  }
  return limits.reduce((smallest, limit) => (limit.limitBytes < smallest.limitBytes ? limit : smallest))
}
