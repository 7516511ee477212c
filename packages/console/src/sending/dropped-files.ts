import type { AddedFile } from './added-file.ts'
import { handleOf, isFileHandle, isFolderHandle } from './file-handles.ts'

/**
 * Returns all dropped files, including those in dropped folders.
 *
 * @param transfer of the drop event. It is empty after the event, so its items are read before this returns
 */
export function droppedFiles(transfer: DataTransfer): Promise<AddedFile[]> {
  const items = [...transfer.items]
    .filter(({ kind }) => kind === 'file')
    // A file that is not from a file system, such as an image dragged from a page, has neither handle nor entry.
    .map((item) => ({ handle: handleOf(item), entry: item.webkitGetAsEntry(), file: item.getAsFile() }))
  return Promise.all(items.map(filesOfItem)).then((files) => files.flat())
}

async function filesOfItem(item: {
  handle: Promise<FileSystemHandle | undefined>
  entry: FileSystemEntry | null
  file: File | null
}): Promise<AddedFile[]> {
  const { entry, file } = item
  const handle = await item.handle
  if (isFolderHandle(handle)) return filesOfFolder(handle, handle, handle.name)
  if (isFileHandle(handle)) return [{ file: file ?? (await handle.getFile()), handle }]
  if (entry) return filesOfEntry(entry, '')
  return file ? [{ file }] : []
}

async function filesOfFolder(
  folder: FileSystemDirectoryHandle,
  root: FileSystemDirectoryHandle,
  path: string,
): Promise<AddedFile[]> {
  const found: Promise<AddedFile[]>[] = []
  for await (const handle of folder.values()) {
    const ownPath = `${path}/${handle.name}`
    if (isFolderHandle(handle)) found.push(filesOfFolder(handle, root, ownPath))
    else if (isFileHandle(handle)) {
      found.push(handle.getFile().then((file) => [{ file, path: ownPath, handle, folder: root }]))
    }
  }
  return (await Promise.all(found)).flat()
}

async function filesOfEntry(entry: FileSystemEntry, folder: string): Promise<AddedFile[]> {
  if (isFileEntry(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
    return [folder === '' ? { file } : { file, path: `${folder}${entry.name}` }]
  }
  if (!isDirectoryEntry(entry)) return []
  const entries = await readDirectory(entry)
  const files = await Promise.all(entries.map((child) => filesOfEntry(child, `${folder}${entry.name}/`)))
  return files.flat()
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
