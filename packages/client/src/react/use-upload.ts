import type { UploadOptions } from '../sending/upload.ts'
import type { Sender } from './upload-item.ts'
import type { UploadListOptions } from './upload-list.ts'
import { type Uploading, useUploadList } from './use-upload-list.ts'

/** The part of `createClient(…)` that the hook needs. */
export type UploadingClient = {
  startUpload(file: Blob, options: UploadOptions): ReturnType<Sender['startUpload']>
  waitUntilFinished: Sender['waitUntilFinished']
}

/** Options of the files of one `start`. */
export type StartOptions = Pick<UploadOptions, 'preset' | 'metadata'>

/**
 * Sends files with a client of Millrace, and follows them.
 *
 * ```tsx
 * const millrace = createClient({ origin: 'https://media.example.com', getToken })
 *
 * function Photos() {
 *   const { start, uploads } = useUpload(millrace)
 *   return <input type="file" multiple onChange={({ target }) => start(target.files ?? [], { preset: 'photo' })} />
 * }
 * ```
 *
 * @returns `start` and the list of the files that it was called with. It belongs to this component: pass it on to others
 */
export function useUpload(
  client: UploadingClient,
  options: UploadListOptions = {},
): Uploading<[options?: StartOptions]> {
  return useUploadList(
    (_files, startOptions) => ({
      startUpload: (file, callbacks) => client.startUpload(file, { ...startOptions, ...callbacks }),
      waitUntilFinished: client.waitUntilFinished,
    }),
    options,
  )
}
