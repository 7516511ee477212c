/**
 * All files of a drop, those in dropped folders too.
 *
 * @param transfer of the drop event; read before this returns, as it is empty afterwards
 */
export function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // A file that is not from a file system has no entry.
  const found = [...transfer.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile())
  return Promise.all(found.map(filesOf)).then((files) => files.flat())
}

async function filesOf(found: FileSystemEntry | File | null): Promise<File[]> {
  if (found === null) return []
  if (found instanceof File) return [found]
  if (isFileEntry(found)) return [await new Promise<File>((resolve, reject) => found.file(resolve, reject))]
  if (isDirectoryEntry(found)) {
    const files = await Promise.all((await entriesOf(found)).map(filesOf))
    return files.flat()
  }
  return []
}

function isFileEntry(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isDirectoryEntry(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}

/** A reader gives a hundred entries or so at a time, and an empty batch at the end (File and Directory Entries API). */
async function entriesOf(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = directory.createReader()
  const entries: FileSystemEntry[] = []
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    )
    if (batch.length === 0) return entries
    entries.push(...batch)
  }
}
