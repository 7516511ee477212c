import type { Upload } from '../api/upload.ts'
import type { InterruptedUploads } from './interrupted-uploads.ts'
import { isNotFound, type UploadRequests } from './upload-requests.ts'

/** Creates the function that finds interrupted uploads. */
export function createFindInterrupted(deps: { requests: UploadRequests; interrupted: InterruptedUploads }) {
  const { requests, interrupted } = deps

  /**
   * Finds the upload of a file whose sending was interrupted, for example because the page was closed. Its id can be passed to
   * `startUpload` as `resume`; with `auto` there, it need not be asked for.
   *
   * @param file the same file, chosen again
   * @param options.resumeScope that of the interrupted upload
   * @returns undefined if there is none, if it has ended, or if another user is signed in by now
   * @throws ApiProblem
   */
  return async function findInterrupted(
    file: Blob,
    options: { resumeScope?: string; signal?: AbortSignal } = {},
  ): Promise<Upload | undefined> {
    const { resumeScope = '', signal = new AbortController().signal } = options
    const transfer = await interrupted.find(file, resumeScope)
    if (transfer?.id === undefined) return undefined
    try {
      const upload = await requests.find(transfer.id, signal)
      return upload.state === 'awaiting' ? upload : undefined
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }
}
