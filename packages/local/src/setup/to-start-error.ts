import { hasErrorCode } from './error-code.ts'
import { StartError } from './start-error.ts'

/** SQLite's code of a full disk (https://www.sqlite.org/rescode.html#full). */
const sqliteFull = 13

/**
 * Returns a StartError for an error of the system that the user can fix, and any other error unchanged.
 *
 * @param directory the data directory
 */
export function toStartError(error: unknown, directory: string): unknown {
  if (
    hasErrorCode(error, 'ENOSPC', 'EDQUOT') ||
    (error instanceof Error && 'errcode' in error && error.errcode === sqliteFull)
  ) {
    return new StartError(
      `The disk of the data directory ${directory} is full: free some space, then start again.`,
    )
  }
  if (
    hasErrorCode(error, 'EACCES', 'EPERM', 'EROFS') &&
    error instanceof Error &&
    error.message.includes(directory)
  ) {
    return new StartError(`A file of the data directory ${directory} cannot be used: ${error.message}.`)
  }
  // The local S3 throws it, with a sentence.
  if (hasErrorCode(error, 'ERR_S3_DIRECTORY') && error instanceof Error) return new StartError(error.message)
  return error
}
