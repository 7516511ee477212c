import { signal } from '@preact/signals'
import type { SendingFile } from '../sending-file.ts'

/** Changes are shown at most this often, in ms: thousands of files change some hundred times a second. */
const periodMs = 100

/** Creates the list of files. Its changes are published together. */
export function createSendingList() {
  const files = new Map<string, SendingFile>()
  const keysOfUploads = new Map<string, string>()
  const shown = signal<readonly SendingFile[]>([])
  let timer: ReturnType<typeof setTimeout> | undefined

  function publish(): void {
    timer = undefined
    shown.value = [...files.values()]
  }

  function schedule(): void {
    timer ??= setTimeout(publish, periodMs)
  }

  return {
    /** All files, in the order in which they were added; for pages. */
    shown,
    get: (key: string): SendingFile | undefined => files.get(key),
    /** Files as they are now, in the order in which they were added. */
    filter: (isMeant: (file: SendingFile) => boolean): SendingFile[] => [...files.values()].filter(isMeant),
    some: (isMeant: (file: SendingFile) => boolean): boolean => [...files.values()].some(isMeant),
    /** The file of an upload as it is now. */
    ofUpload(uploadId: string): SendingFile | undefined {
      return files.get(keysOfUploads.get(uploadId) ?? '')
    },

    /** Adds files, and shows them at once. */
    add(added: readonly SendingFile[]): void {
      for (const file of added) {
        files.set(file.key, file)
        if (file.uploadId !== undefined) keysOfUploads.set(file.uploadId, file.key)
      }
      clearTimeout(timer)
      publish()
    },

    change(key: string, fields: Partial<SendingFile>): void {
      const file = files.get(key)
      if (!file) return
      if (file.uploadId !== undefined) keysOfUploads.delete(file.uploadId)
      const changed = { ...file, ...fields }
      files.set(key, changed)
      if (changed.uploadId !== undefined) keysOfUploads.set(changed.uploadId, key)
      schedule()
    },

    remove(keys: readonly string[]): void {
      for (const key of keys) {
        const { uploadId } = files.get(key) ?? {}
        if (uploadId !== undefined) keysOfUploads.delete(uploadId)
        files.delete(key)
      }
      schedule()
    },
  }
}

export type SendingList = ReturnType<typeof createSendingList>
