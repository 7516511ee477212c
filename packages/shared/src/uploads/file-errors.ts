import { AppError } from '../service/app-error.ts'

/** What an upload token's limit of each file is called. */
export const maxFileBytesName = 'maxFileBytes of the upload token'

/**
 * The error for a file that is over a limit.
 *
 * @param limitBytes the limit
 * @param name what the limit is called
 */
export function tooLarge(limitBytes: number, name = 'the limit'): AppError {
  return new AppError('upload_too_large', {
    message: `The file has more than ${limitBytes} bytes, which is ${name}.`,
    limit: limitBytes,
  })
}
