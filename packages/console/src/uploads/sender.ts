import type { Client } from '@millrace/client'
import { ApiProblem } from '@millrace/client'
import Uppy, { type UppyFile } from '@uppy/core'
import { TaskQueue, toError } from '@uppy/core/utils'

/** What Uppy keeps with a file. `key` is its row, `uploadId` what the API calls it, once it is announced. */
export type FileMeta = { key: string; uploadId?: string }
export type SentFile = UppyFile<FileMeta, Record<string, never>>
export type Sender = Uppy<FileMeta, Record<string, never>>

/**
 * Larger files go up in parts, in bytes. As several parts of a file are under way at once, one such file and
 * two small ones take all of the six connections that browsers open to a host (HTTP/1.1).
 */
const smallBytes = 8 * 1024 ** 2
const largeAtOnce = 1
const smallAtOnce = 2

/**
 * An Uppy whose transport is Millrace's own client. `@uppy/aws-s3` works as well (docs/uppy.md), but it sends
 * the parts of a file one after the other (docs/decisions/0011-uppy-speaks-companion.md).
 *
 * A file whose meta has an `uploadId` already goes on with what S3 does not have of it yet.
 */
export function createSender({ client }: { client: Client }): Sender {
  const uppy: Sender = new Uppy({
    autoProceed: true,
    // The same file may be sent twice, which Uppy's own ids do not allow.
    onBeforeFileAdded: (file) => ({ ...file, id: file.meta.key }),
  })
  const small = new TaskQueue({ concurrency: smallAtOnce })
  const large = new TaskQueue({ concurrency: largeAtOnce })
  uppy.addUploader(async (ids) => {
    await Promise.all(ids.map((id) => (isLarge(uppy.getFile(id)) ? large : small).add(() => send(id))))
  })
  return uppy

  async function send(id: string): Promise<void> {
    const file = uppy.getFile(id)
    // Removed while it waited for its turn.
    if (!file?.data || file.isRemote) return
    const removal = new AbortController()
    const onRemoved = (removed: SentFile) => {
      if (removed.id === id) removal.abort()
    }
    uppy.on('file-removed', onRemoved)
    uppy.emit('upload-start', [file])
    try {
      await upload(file, file.data, removal.signal)
      uppy.emit('upload-success', uppy.getFile(id), { status: 200, body: {} })
    } catch (error) {
      if (!removal.signal.aborted) uppy.emit('upload-error', uppy.getFile(id), toError(error))
    } finally {
      uppy.off('file-removed', onRemoved)
    }
  }

  async function upload(file: SentFile, data: Blob, signal: AbortSignal): Promise<void> {
    const options = {
      filename: file.name,
      contentType: data.type || 'application/octet-stream',
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
      // It has expired, or was erased elsewhere.
      if (!(error instanceof ApiProblem && error.code === 'upload_not_found')) throw error
      await client.upload(data, options)
    }
  }
}

/** Whether a file goes up in parts, and so can be gone on with. */
export function isLarge(file: { size: number | null } | undefined): boolean {
  return (file?.size ?? 0) > smallBytes
}
