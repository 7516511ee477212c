import type { Upload } from '../api/upload.ts'
import type { StartUpload, UploadOptions } from './start-upload.ts'

/** Creates the function that sends a file and waits until S3 has it. */
export function createUpload({ startUpload }: { startUpload: StartUpload }) {
  /**
   * Announces a file and sends it to S3.
   *
   * @param file a File or any other Blob, for example from `fs.openAsBlob()`
   * @returns the upload, once S3 has all its bytes. Processing may not be finished yet
   * @throws ApiProblem, SendError; the signal's reason if it aborts
   */
  return async function upload(file: Blob, options: UploadOptions = {}): Promise<Upload> {
    return startUpload(file, options).sent
  }
}

export type { UploadOptions, UploadTask } from './start-upload.ts'
