import { ApiProblem, type Client, isRetryable, SendError } from '@millrace/client'
import { createSender, isLarge, type SentFile } from './sender.ts'
import { createTransferRate } from './transfer-rate.ts'

/** The transfer of one file. `sent` means that S3 has all its bytes. */
export type Transfer =
  | { phase: 'queued' | 'starting' | 'sent' | 'cancelled' }
  | { phase: 'sending'; sentBytes: number; bytesPerSecond: number | undefined }
  | { phase: 'failed'; problem: string; retryable: boolean }

/**
 * Sends files from this page to S3 with Uppy, and reports the state of each transfer.
 *
 * @param deps.onTransfer called with the key of a file and the new state of its transfer
 * @param deps.onAnnounced called with the key of a file and the id of its upload
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
  const transferRates = new Map<string, ReturnType<typeof createTransferRate>>()
  const announcing = new Set<string>()
  /** Files whose transfer failed or was cancelled, and that can be sent again. */
  const stopped = new Map<string, { file: File; uploadId?: string }>()

  sender.on('upload-start', (files) => {
    for (const { id, meta } of files) {
      if (meta.uploadId === undefined) announcing.add(id)
      transferRates.set(id, createTransferRate())
      onTransfer(id, { phase: 'starting' })
    }
  })
  sender.on('upload-progress', (file, { bytesUploaded }) => {
    if (!file) return
    const { uploadId } = file.meta
    if (announcing.delete(file.id) && uploadId !== undefined) onAnnounced(file.id, uploadId)
    const bytesPerSecond = transferRates.get(file.id)?.update(bytesUploaded)
    onTransfer(file.id, { phase: 'sending', sentBytes: bytesUploaded, bytesPerSecond })
  })
  sender.on('upload-success', (file) => {
    if (!file) return
    removeFromUppy(file)
    onTransfer(file.id, { phase: 'sent' })
  })
  sender.on('upload-error', (file, error) => {
    if (!file) return
    // A failed file must leave Uppy: otherwise Uppy sends it again together with the next files.
    stopped.set(file.id, removeFromUppy(file))
    onTransfer(file.id, { phase: 'failed', ...describe(error) })
  })

  return {
    /** Returns whether an upload of this page may exist whose id is not known here yet. */
    isAnnouncing: (): boolean => announcing.size > 0,

    /** Sends files. Each is identified by its key. */
    start(files: { key: string; file: File }[]): void {
      add(files)
    },

    /** Sends a failed or cancelled file again. A large file that failed is resumed from its parts in S3. */
    retry(key: string): void {
      const entry = stopped.get(key)
      if (!entry) return
      stopped.delete(key)
      const { file, uploadId } = entry
      if (uploadId !== undefined && !isLarge(file)) erase(uploadId)
      add([{ key, file, ...(uploadId !== undefined && isLarge(file) && { uploadId }) }])
    },

    /** Stops sending a file and erases its upload. */
    cancel(key: string): void {
      const sending = sender.getFile(key)
      if (!sending) return
      const { file, uploadId } = removeFromUppy(sending)
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

  /** Removes a file from Uppy, which aborts its transfer if it is active. */
  function removeFromUppy({ id, data, meta }: SentFile): { file: File; uploadId?: string } {
    announcing.delete(id)
    transferRates.delete(id)
    sender.removeFile(id)
    if (!(data instanceof File)) throw new Error('Uppy holds something other than a File.')
    return { file: data, ...(meta.uploadId !== undefined && { uploadId: meta.uploadId }) }
  }
}

function describe(error: { message: string }): { problem: string; retryable: boolean } {
  if (error instanceof ApiProblem) return { problem: messageOf(error), retryable: isRetryable(error) }
  // Only requests to the API fail with a TypeError: failures of S3 become a SendError.
  if (error instanceof TypeError) return { problem: 'Cannot reach the server.', retryable: true }
  if (error instanceof SendError) return { problem: error.message, retryable: true }
  return { problem: error.message, retryable: true }
}

function messageOf({ message, problem }: ApiProblem): string {
  const fields = problem?.errors?.map(({ field, message }) => `${field} ${message}`).join('; ')
  return fields ? `${message} (${fields})` : message
}
