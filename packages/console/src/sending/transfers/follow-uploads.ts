import type { Client, Upload, UploadProgress } from '@millrace/client'
import { isActive, isProcessed, isUnsent } from '../sending-file.ts'
import type { Cancellation } from './cancellation.ts'
import { describeFailure } from './describe-failure.ts'
import type { SendingList } from './sending-list.ts'
import type { UploadStream } from './upload-stream.ts'

/**
 * Follows the uploads of files in the stream, until they are processed.
 *
 * @param deps.schedule starts what can be started
 */
export function createFollowUploads(deps: {
  client: Pick<Client, 'get'>
  list: SendingList
  stream: UploadStream
  cancellation: Pick<Cancellation, 'stop' | 'remove'>
  schedule: () => void
}) {
  const { client, list, stream, cancellation, schedule } = deps
  /** What the stream told of a file's upload before the file was sent. */
  const early = new Map<string, Upload>()
  let stopListening: (() => void) | undefined

  function listenIfNeeded(): void {
    const isNeeded = list.some((file) => isActive(file) || isProcessed(file))
    if (isNeeded) {
      stopListening ??= stream.listen({ onSnapshot, onUpload, onErased, onProgress })
    } else {
      stopListening?.()
      stopListening = undefined
    }
  }

  /** A snapshot has the newest uploads only. */
  async function onSnapshot(uploads: Upload[]): Promise<void> {
    for (const upload of uploads) onUpload(upload)
    const told = new Set(uploads.map(({ id }) => id))
    for (const { uploadId } of list.filter(isProcessed)) {
      if (uploadId === undefined || told.has(uploadId)) continue
      await client.get(uploadId).then(onUpload, (error: unknown) => {
        if (describeFailure(error).kind === 'erased') onErased(uploadId)
      })
    }
  }

  function onUpload(upload: Upload): void {
    const file = list.ofUpload(upload.id)
    if (!file) return
    if (isProcessed(file)) show(file.key, upload)
    else if (isUnsent(file)) early.set(file.key, upload)
    listenIfNeeded()
  }

  function onProgress(progress: UploadProgress): void {
    const file = list.ofUpload(progress.id)
    if (file && isProcessed(file)) list.change(file.key, { phase: 'processing', progress })
  }

  function onErased(uploadId: string): void {
    const file = list.ofUpload(uploadId)
    if (!file) return
    if (isUnsent(file)) {
      cancellation.stop(file.key)
      list.change(file.key, { phase: 'cancelled', uploadId: undefined, problem: 'It was deleted elsewhere.' })
    } else cancellation.remove(file.key)
    schedule()
  }

  function show(key: string, { state, error }: Upload): void {
    if (state === 'awaiting') return
    list.change(key, {
      phase: state === 'received' ? 'sent' : state,
      ...(state !== 'processing' && { progress: undefined }),
      problem: error?.message,
      retryable: state === 'failed',
    })
  }

  return {
    /** Listens while a file is being sent or processed. */
    listenIfNeeded,

    /** Takes the state of an upload from a response. */
    onUpload,

    /** Shows a file that S3 has. */
    showSent(key: string, upload: Upload): void {
      const file = list.get(key)
      if (!file) return
      const told = early.get(key)
      const isNewer = told?.id === upload.id && Date.parse(told.updatedAt) > Date.parse(upload.updatedAt)
      list.change(key, {
        phase: 'sent',
        sentBytes: file.size,
        uploadId: upload.id,
        bytesPerSecond: undefined,
      })
      show(key, isNewer ? told : upload)
    },

    forget(key: string): void {
      early.delete(key)
    },
  }
}

export type FollowUploads = ReturnType<typeof createFollowUploads>
