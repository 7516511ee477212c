import { ApiProblem, type Client, SendError } from '@millrace/client'
import { isRetryable } from '@millrace/client/retry.ts'
import { createSender, isLarge, type SentFile } from './sender.ts'
import { createSpeedometer } from './transfer-rate.ts'

/** How the bytes of one file are getting along. `sent` means that S3 has them all. */
export type Transfer =
  | { phase: 'queued' | 'starting' | 'sent' | 'cancelled' }
  | { phase: 'sending'; sentBytes: number; bytesPerSecond: number | undefined }
  | { phase: 'failed'; problem: string; retryable: boolean }

/**
 * Carries files from this page to S3, by Uppy, and tells of it row by row.
 *
 * @param deps.onTransfer told of every step of a file, by the key it was given in with
 * @param deps.onAnnounced told of the id that a file's upload has got
 * @param deps.erase erases an upload by its id
 */
export function createTransfers(deps: {
  client: Client
  onTransfer: (key: string, transfer: Transfer) => void
  onAnnounced: (key: string, id: string) => void
  erase: (id: string) => void
}) {
  const { onTransfer, onAnnounced, erase } = deps
  const sender = createSender(deps)
  const speedometers = new Map<string, ReturnType<typeof createSpeedometer>>()
  const announcing = new Set<string>()
  /** Files that are not on their way any more, but may be sent again. */
  const stopped = new Map<string, { file: File; uploadId?: string }>()

  sender.on('upload-start', (files) => {
    for (const { id, meta } of files) {
      if (meta.uploadId === undefined) announcing.add(id)
      speedometers.set(id, createSpeedometer())
      onTransfer(id, { phase: 'starting' })
    }
  })
  sender.on('upload-progress', (file, { bytesUploaded }) => {
    if (!file) return
    const { uploadId } = file.meta
    if (announcing.delete(file.id) && uploadId !== undefined) onAnnounced(file.id, uploadId)
    const bytesPerSecond = speedometers.get(file.id)?.read(bytesUploaded)
    onTransfer(file.id, { phase: 'sending', sentBytes: bytesUploaded, bytesPerSecond })
  })
  sender.on('upload-success', (file) => {
    if (!file) return
    leave(file)
    onTransfer(file.id, { phase: 'sent' })
  })
  sender.on('upload-error', (file, error) => {
    if (!file) return
    // Uppy would send it again before whatever is added next.
    const left = leave(file)
    stopped.set(file.id, left)
    onTransfer(file.id, { phase: 'failed', ...explain(error) })
  })

  return {
    /** Whether an upload may have been announced whose id is not known here yet. */
    isAnnouncing: (): boolean => announcing.size > 0,

    /** Sends files. A key names each from now on. */
    start(files: { key: string; file: File }[]): void {
      for (const { key, file } of files) {
        if (file.size === 0) {
          onTransfer(key, { phase: 'failed', problem: 'The file is empty.', retryable: false })
        }
      }
      add(files.filter(({ file }) => file.size > 0))
    },

    /** Sends a file that failed or was cancelled again: of a large one that failed, what S3 does not have. */
    retry(key: string): void {
      const known = stopped.get(key)
      if (!known) return
      stopped.delete(key)
      const { file, uploadId } = known
      if (uploadId !== undefined && !isLarge(file)) erase(uploadId)
      add([{ key, file, ...(uploadId !== undefined && isLarge(file) && { uploadId }) }])
    },

    /** Stops sending, and erases what has been sent. */
    cancel(key: string): void {
      const sent = sender.getFile(key)
      if (!sent) return
      const { file, uploadId } = leave(sent)
      stopped.set(key, { file })
      if (uploadId !== undefined) erase(uploadId)
      onTransfer(key, { phase: 'cancelled' })
    },
  }

  function add(files: { key: string; file: File; uploadId?: string }[]): void {
    for (const { key } of files) onTransfer(key, { phase: 'queued' })
    sender.addFiles(
      files.map(({ key, file, uploadId }) => ({
        name: file.name,
        type: file.type,
        data: file,
        meta: { key, ...(uploadId !== undefined && { uploadId }) },
      })),
    )
  }

  /** Takes a file out of Uppy, which stops it where it is under way. */
  function leave({ id, data, meta }: SentFile): { file: File; uploadId?: string } {
    announcing.delete(id)
    speedometers.delete(id)
    sender.removeFile(id)
    if (!(data instanceof File)) throw new Error('Uppy was given something else than a file.')
    return { file: data, ...(meta.uploadId !== undefined && { uploadId: meta.uploadId }) }
  }
}

export type Transfers = ReturnType<typeof createTransfers>

function explain(error: { message: string }): { problem: string; retryable: boolean } {
  if (error instanceof ApiProblem) return { problem: sentence(error), retryable: isRetryable(error) }
  // Of the page's own requests, only those to the API fail like this.
  if (error instanceof TypeError) return { problem: 'The server could not be reached.', retryable: true }
  if (error instanceof SendError) return { problem: error.message, retryable: true }
  return { problem: error.message, retryable: true }
}

function sentence({ message, problem }: ApiProblem): string {
  const fields = problem?.errors?.map(({ field, message }) => `${field} ${message}`).join('; ')
  return fields ? `${message} (${fields})` : message
}
