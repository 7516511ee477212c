import type { Upload } from '@millrace/client'
import type { Transfer } from './transfers.ts'

/** One line of the list: a file of this page, an upload that the API knows, or both. */
export type Row = {
  /** Stays the same from the drop to the end. */
  key: string
  filename: string
  /** Bytes. */
  size: number
  /** When it was dropped here or else announced, in milliseconds since 1970: the order of the list. */
  at: number
  id?: string
  upload?: Upload
  transfer?: Transfer
}

/** The rows, newest first. */
export type Rows = readonly Row[]

/** What the page shows, and whom to tell when it changes. Rows are never changed in place. */
export function createUploadList() {
  let rows: Rows = []
  const listeners = new Set<(rows: Rows) => void>()
  /** Ids of uploads that are being erased: whatever is still told of them is no news. */
  const gone = new Set<string>()

  return {
    rows: (): Rows => rows,

    /** @returns a function that ends the subscription */
    subscribe(listener: (rows: Rows) => void): () => void {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    has: (id: string): boolean => rows.some((row) => row.id === id),

    /** Puts files on top, in their order, as rows that wait to be sent. @returns them with their keys */
    addFiles(files: readonly File[]): { key: string; file: File }[] {
      const at = Date.now()
      const added = files.map((file) => ({ key: crypto.randomUUID(), file }))
      const waiting = added.map(({ key, file: { name, size } }): Row => {
        return { key, filename: name, size, at, transfer: { phase: 'queued' } }
      })
      show([...waiting, ...rows])
      return added
    },

    setTransfer(key: string, transfer: Transfer): void {
      show(rows.map((row) => (row.key === key ? { ...row, transfer } : row)))
    },

    /** A file's upload has been announced; anew, if there was one before. */
    setId(key: string, id: string): void {
      const others = rows.filter((row) => row.key === key || row.id !== id)
      show(others.map((row) => (row.key === key && row.id !== id ? announced(row, id) : row)))
    },

    /** Takes over what the API says of uploads, whether they are on the list already or not. */
    setUploads(uploads: readonly Upload[]): void {
      const told = new Map(uploads.filter(({ id }) => !gone.has(id)).map((upload) => [upload.id, upload]))
      const kept = rows.map((row) => {
        const upload = row.id === undefined ? undefined : told.get(row.id)
        if (!upload) return row
        told.delete(upload.id)
        return isOlder(upload, row.upload) ? row : { ...row, upload }
      })
      show([...kept, ...[...told.values()].map(rowOf)].sort((one, other) => other.at - one.at))
    },

    /**
     * Takes over the newest uploads: others of their time have been erased elsewhere.
     *
     * @param uploads newest first
     * @param options.isAll whether there are no older ones
     */
    setSnapshot(uploads: readonly Upload[], { isAll }: { isAll: boolean }): void {
      const told = new Set(uploads.map(({ id }) => id))
      const oldest = uploads.at(-1)
      const since = isAll || !oldest ? 0 : Date.parse(oldest.createdAt)
      const isErased = ({ id, upload }: Row) =>
        id !== undefined && upload && !told.has(id) && Date.parse(upload.createdAt) >= since
      rows = rows.filter((row) => !isErased(row))
      this.setUploads(uploads)
    },

    /** Has a file's row forget its upload, which is being erased. */
    detach(id: string): void {
      gone.add(id)
      show(
        rows.flatMap((row) => {
          if (row.id !== id) return [row]
          const { id: _id, upload: _upload, ...file } = row
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

function announced({ key, filename, size, at, transfer }: Row, id: string): Row {
  return { key, filename, size, at, id, ...(transfer && { transfer }) }
}

function rowOf(upload: Upload): Row {
  const { id, filename, size, createdAt } = upload
  return { key: id, filename, size, at: Date.parse(createdAt), id, upload }
}

/** A page of the list may have been on its way while an event came. */
function isOlder(told: Upload, known: Upload | undefined): boolean {
  return known !== undefined && Date.parse(told.updatedAt) < Date.parse(known.updatedAt)
}
