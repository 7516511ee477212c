import { AppError } from '../service/app-error.ts'

/** The error for a file of 0 bytes. */
export function emptyFile(): AppError {
  return new AppError('invalid_request', {
    message: 'The file is empty.',
    fields: [{ field: 'size', message: 'must be >= 1' }],
  })
}

/**
 * The error for a file that is over a limit.
 *
 * @param limitBytes the limit
 */
export function tooLarge(limitBytes: number): AppError {
  return new AppError('upload_too_large', {
    message: `The file has more than ${limitBytes} bytes, which is the limit.`,
    limit: limitBytes,
  })
}
