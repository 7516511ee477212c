import type { Identity } from '../../frame/identity.ts'
import { type AddedFile, filenameOf } from '../added-file.ts'
import type { SendingFile } from '../sending-file.ts'
import type { InterruptedFile, InterruptedFiles } from './interrupted-files.ts'

/** What this page has of a file, beside what it shows. */
type KeptFile = {
  /** Absent while the file is interrupted. */
  added?: AddedFile
  name: string
  lastModified: number
  addedAt: number
  handle?: FileSystemFileHandle
  folder?: FileSystemDirectoryHandle | undefined
}

/**
 * Keeps the bytes of files and the handles that open them, and finds a file that is given again.
 *
 * @param deps.records remember the files for the page after this one
 */
export function createKeptFiles(deps: { records: InterruptedFiles; identity: Pick<Identity, 'session'> }) {
  const { records, identity } = deps
  const kept = new Map<string, KeptFile>()
  let lastAddedAt = 0

  function recordOf({ key, filename, size, phase, uploadId }: SendingFile): Omit<InterruptedFile, 'page'> {
    const { lastModified = 0, addedAt = 0, handle, folder } = kept.get(key) ?? {}
    const owner = identity.session.value?.createdAt ?? ''
    return {
      ...{ key, filename, size, lastModified, owner, addedAt },
      ...(uploadId !== undefined && { uploadId }),
      ...(phase === 'paused' && { isPaused: true }),
      ...(handle && { handle }),
      ...(folder && { folder }),
    }
  }

  return {
    /** Keeps a file that was added. */
    keep(key: string, added: AddedFile): void {
      const { file, handle, folder } = added
      const { name, lastModified } = file
      // No two files have the same time, so that it tells their order.
      lastAddedAt = Math.max(Date.now(), lastAddedAt + 1)
      kept.set(key, {
        ...{ added, name, lastModified, addedAt: lastAddedAt },
        ...(handle && { handle }),
        ...(folder && { folder }),
      })
    },

    /** Keeps what an earlier page knew of a file, without its bytes. */
    keepInterrupted({ key, filename, lastModified, addedAt, handle, folder }: InterruptedFile): void {
      const name = filename.split('/').at(-1) ?? filename
      kept.set(key, {
        ...{ name, lastModified, addedAt },
        ...(handle && { handle }),
        ...(folder && { folder }),
      })
    },

    /**
     * Keeps the bytes of a file that was interrupted or has failed, and what opens it from now on.
     *
     * @returns whether the file is still kept
     */
    renew(key: string, added: AddedFile): boolean {
      const file = kept.get(key)
      if (!file) return false
      file.added = added
      const { handle, folder } = added
      if (handle === undefined || handle === file.handle) return true
      Object.assign(file, { handle, folder })
      records.update(key, { handle, folder })
      return true
    },

    /** The bytes of a file, if this page has them. */
    bytesOf: (key: string): File | undefined => kept.get(key)?.added?.file,

    /** What opens a file again without the user choosing it, if the browser has such. */
    handlesOf(key: string): Pick<KeptFile, 'handle' | 'folder'> {
      return kept.get(key) ?? {}
    },

    /** Finds a file that was chosen again; also one of a folder that was chosen alone. */
    indexOfSame(known: readonly SendingFile[], added: AddedFile): number {
      const { name, size, lastModified } = added.file
      const isSame = (file: SendingFile) => {
        const own = kept.get(file.key)
        return file.size === size && own?.name === name && own.lastModified === lastModified
      }
      const exact = known.findIndex((file) => isSame(file) && file.filename === filenameOf(added))
      return exact >= 0 ? exact : known.findIndex(isSame)
    },

    /** Remembers files for the page after this one. */
    remember(files: readonly SendingFile[]): void {
      records.remember(files.map(recordOf))
    },

    forget(key: string): void {
      kept.delete(key)
    },
  }
}

export type KeptFiles = ReturnType<typeof createKeptFiles>
