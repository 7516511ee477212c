/**
 * Returns all dropped files, including those in dropped folders.
 *
 * @param transfer of the drop event. It is empty after the event, so its items are read before this returns
 */
export function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // A file that is not from a file system, such as an image dragged from a page, has no entry.
  const items = [...transfer.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile())
  return Promise.all(items.map(filesOf)).then((files) => files.flat())
}

async function filesOf(item: FileSystemEntry | File | null): Promise<File[]> {
  if (item === null) return []
  if (item instanceof File) return [item]
  if (isFileEntry(item)) return [await new Promise<File>((resolve, reject) => item.file(resolve, reject))]
  if (isDirectoryEntry(item)) {
    const files = await Promise.all((await readDirectory(item)).map(filesOf))
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

/** `readEntries` returns some 100 entries a call, and none at the end (File and Directory Entries API). */
async function readDirectory(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
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
