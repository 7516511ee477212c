import type { Client } from '@millrace/client'
import { ApiProblem } from '@millrace/client'
import Uppy, { type UppyFile } from '@uppy/core'
import { TaskQueue, toError } from '@uppy/core/utils'

/** Uppy's metadata of a file: the key of its row, and the id of its upload once it is announced. */
export type FileMeta = { key: string; uploadId?: string }
export type SentFile = UppyFile<FileMeta, Record<string, never>>
export type Sender = Uppy<FileMeta, Record<string, never>>

/**
 * Files above this size, in bytes, are sent in parts. Four parts of a file are sent at once, so one such file
 * and two small ones use all six connections that browsers open to a host (HTTP/1.1).
 */
const maxFormBytes = 8 * 1024 ** 2
const concurrentLargeFiles = 1
const concurrentSmallFiles = 2

/**
 * Creates an Uppy instance that sends files with Millrace's own client. `@uppy/aws-s3` works as well
 * (docs/uppy.md), but it sends the parts of a file one after the other (decision record 0011).
 *
 * A file whose metadata has an `uploadId` is resumed: only the parts that S3 does not have are sent.
 */
export function createSender({ client }: { client: Client }): Sender {
  const uppy: Sender = new Uppy({
    autoProceed: true,
    // Uppy derives its ids from the file, so the same file could not be sent twice. The row's key is unique.
    onBeforeFileAdded: (file) => ({ ...file, id: file.meta.key }),
  })
  const small = new TaskQueue({ concurrency: concurrentSmallFiles })
  const large = new TaskQueue({ concurrency: concurrentLargeFiles })
  uppy.addUploader(async (ids) => {
    await Promise.all(ids.map((id) => (isLarge(uppy.getFile(id)) ? large : small).add(() => send(id))))
  })
  return uppy

  async function send(id: string): Promise<void> {
    const file = uppy.getFile(id)
    // The file was removed while it waited in the queue.
    if (!file?.data || file.isRemote) return
    const controller = new AbortController()
    const onRemoved = (removed: SentFile) => {
      if (removed.id === id) controller.abort()
    }
    uppy.on('file-removed', onRemoved)
    uppy.emit('upload-start', [file])
    try {
      await upload(file, file.data, controller.signal)
      uppy.emit('upload-success', uppy.getFile(id), { status: 200, body: {} })
    } catch (error) {
      if (!controller.signal.aborted) uppy.emit('upload-error', uppy.getFile(id), toError(error))
    } finally {
      uppy.off('file-removed', onRemoved)
    }
  }

  async function upload(file: SentFile, data: Blob, signal: AbortSignal): Promise<void> {
    const options = {
      filename: file.name,
      contentType: data.type || 'application/octet-stream',
      // A file that is cancelled and sent again is a new upload, while the old one is still being erased.
      resume: 'never',
      signal,
      onAnnounced: (uploadId: string) => uppy.setFileMeta(file.id, { ...file.meta, uploadId }),
      onProgress(bytesUploaded: number, bytesTotal: number) {
        const uploadStarted = file.progress.uploadStarted ?? Date.now()
        uppy.emit('upload-progress', uppy.getFile(file.id), { uploadStarted, bytesUploaded, bytesTotal })
      },
    }
    const { uploadId } = file.meta
    if (uploadId === undefined) {
      await client.upload(data, options)
      return
    }
    try {
      await client.upload(data, { ...options, resume: uploadId })
    } catch (error) {
      // The upload has expired, or another client erased it. Send the whole file again.
      if (!(error instanceof ApiProblem && error.code === 'upload_not_found')) throw error
      await client.upload(data, options)
    }
  }
}

/** Returns whether a file is sent in parts, so that its upload can be resumed. */
export function isLarge(file: { size: number | null } | undefined): boolean {
  return (file?.size ?? 0) > maxFormBytes
}
