import type { Upload, UploadProgress } from '@millrace/client'
import type { Transfer } from '../sending/transfers.ts'

/** One row of the list: a file of this page, an upload that the API reported, or both. */
export type Row = {
  /** Identifies the row from the drop on. Never changes. */
  key: string
  filename: string
  /** Bytes. */
  size: number
  /** When the file was dropped, or else announced, in ms since 1970. The list is sorted by it. */
  at: number
  id?: string
  upload?: Upload
  /** Of the upload's processing, since its last change. */
  progress?: UploadProgress
  transfer?: Transfer
}

/** The rows, newest first. */
export type Rows = readonly Row[]

/** Creates the list of rows and publishes its changes. Rows are never changed in place. */
export function createUploadList() {
  let rows: Rows = []
  const listeners = new Set<(rows: Rows) => void>()
  /** Ids of uploads that are being erased. Later events about them are ignored. */
  const erasedIds = new Set<string>()

  return {
    rows: (): Rows => rows,

    /** @returns a function that ends the subscription */
    subscribe(listener: (rows: Rows) => void): () => void {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    has: (id: string): boolean => rows.some((row) => row.id === id),

    /** Adds files at the top, in their order, as queued rows. @returns the files with their keys */
    addFiles(files: readonly File[]): { key: string; file: File }[] {
      const at = Date.now()
      const added = files.map((file) => ({ key: crypto.randomUUID(), file }))
      const queued = added.map(({ key, file: { name, size } }): Row => {
        return { key, filename: name, size, at, transfer: { phase: 'queued' } }
      })
      show([...queued, ...rows])
      return added
    },

    setTransfer(key: string, transfer: Transfer): void {
      show(rows.map((row) => (row.key === key ? { ...row, transfer } : row)))
    },

    /** Sets the id of a row's upload. A file that is sent again gets a new id, without the old upload. */
    setId(key: string, id: string): void {
      const others = rows.filter((row) => row.key === key || row.id !== id)
      show(others.map((row) => (row.key === key && row.id !== id ? withId(row, id) : row)))
    },

    /** Updates the rows of these uploads, and adds rows for those without one. Older versions are ignored. */
    setUploads(uploads: readonly Upload[]): void {
      const pending = new Map(
        uploads.filter(({ id }) => !erasedIds.has(id)).map((upload) => [upload.id, upload]),
      )
      const updated = rows.map((row) => {
        const upload = row.id === undefined ? undefined : pending.get(row.id)
        if (!upload) return row
        pending.delete(upload.id)
        return isOlder(upload, row.upload) ? row : withUpload(row, upload)
      })
      show([...updated, ...[...pending.values()].map(rowOf)].sort((a, b) => b.at - a.at))
    },

    /** Sets how far an upload's processing is. */
    setProgress(progress: UploadProgress): void {
      const isProcessed = ({ id, upload }: Row) => id === progress.id && upload?.state === 'processing'
      show(rows.map((row) => (isProcessed(row) ? { ...row, progress } : row)))
    },

    /**
     * Updates the list from a snapshot of the newest uploads. Rows of the same period that are not in the
     * snapshot are removed: another client erased those uploads. A snapshot can be empty although older uploads follow.
     *
     * @param uploads newest first
     * @param options.isAll whether there are no older uploads
     */
    setSnapshot(uploads: readonly Upload[], { isAll }: { isAll: boolean }): void {
      const ids = new Set(uploads.map(({ id }) => id))
      const oldest = uploads.at(-1)
      const since = isAll ? 0 : oldest ? Date.parse(oldest.createdAt) : Number.POSITIVE_INFINITY
      const isErased = ({ id, upload }: Row) =>
        id !== undefined && upload && !ids.has(id) && Date.parse(upload.createdAt) >= since
      rows = rows.filter((row) => !isErased(row))
      this.setUploads(uploads)
    },

    /** Detaches an upload that is being erased. Its row stays only if it shows a file of this page. */
    detach(id: string): void {
      erasedIds.add(id)
      show(
        rows.flatMap((row) => {
          if (row.id !== id) return [row]
          const { id: _id, upload: _upload, progress: _progress, ...file } = row
          return row.transfer ? [file] : []
        }),
      )
    },

    remove(id: string): void {
      show(rows.filter((row) => row.id !== id))
    },
  }

  function show(next: Rows): void {
    rows = next
    for (const listener of listeners) listener(rows)
  }
}

export type UploadList = ReturnType<typeof createUploadList>

function withId({ key, filename, size, at, transfer }: Row, id: string): Row {
  return { key, filename, size, at, id, ...(transfer && { transfer }) }
}

/** Sets the state of a row's upload. Earlier progress does not belong to it. */
function withUpload({ progress: _, ...row }: Row, upload: Upload): Row {
  return { ...row, upload }
}

function rowOf(upload: Upload): Row {
  const { id, filename, size, createdAt } = upload
  return { key: id, filename, size, at: Date.parse(createdAt), id, upload }
}

/** A page of the list can arrive after a newer event of the same upload. */
function isOlder(received: Upload, current: Upload | undefined): boolean {
  return current !== undefined && Date.parse(received.updatedAt) < Date.parse(current.updatedAt)
}
