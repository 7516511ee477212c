import type { Upload, UploadProgress } from '@millrace/client'

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
}

/** The rows, newest first. */
export type Rows = readonly Row[]

/** Creates the list of rows and publishes its changes. Rows are never changed in place. */
export function createUploadList() {
  let rows: Rows = []
  const listeners = new Set<(rows: Rows) => void>()

  return {
    rows: (): Rows => rows,

    /** @returns a function that ends the subscription */
    subscribe(listener: (rows: Rows) => void): () => void {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    /** Updates the rows of these uploads, and adds rows for those without one. Older versions are ignored. */
    setUploads(uploads: readonly Upload[]): void {
      const pending = new Map(uploads.map((upload) => [upload.id, upload]))
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
