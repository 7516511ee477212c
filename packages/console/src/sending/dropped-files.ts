import type { AddedFile } from './added-file.ts'
import { handleOf, isFileHandle, isFolderHandle } from './kept/file-handles.ts'

/** What was found: files, and the paths of what cannot be read. */
export type DroppedFiles = { files: AddedFile[]; unreadable: string[] }

/**
 * Returns all dropped files, including those in dropped folders.
 *
 * @param transfer of the drop event. It is empty after the event, so its items are read before this returns
 */
export async function droppedFiles(transfer: DataTransfer): Promise<DroppedFiles> {
  const items = [...transfer.items]
    .filter(({ kind }) => kind === 'file')
    // A file that is not from a file system, such as an image dragged from a page, has neither handle nor entry.
    .map((item) => ({ handle: handleOf(item), entry: item.webkitGetAsEntry(), file: item.getAsFile() }))
  const found = (await Promise.all(items.map(filesOfItem))).flat()
  return {
    files: found.filter((each) => typeof each !== 'string'),
    unreadable: found.filter((each) => typeof each === 'string'),
  }
}

/** Files, or the path of what cannot be read. */
type Found = (AddedFile | string)[]

/** @returns the path instead, if it cannot be read */
async function foundOrPath(path: string, find: () => Promise<Found>): Promise<Found> {
  try {
    return await find()
  } catch {
    return [path]
  }
}

async function filesOfItem(item: {
  handle: Promise<FileSystemHandle | undefined>
  entry: FileSystemEntry | null
  file: File | null
}): Promise<Found> {
  const { entry, file } = item
  const handle = await item.handle
  if (isFolderHandle(handle)) return filesOfFolder(handle, handle, handle.name)
  if (isFileHandle(handle)) {
    return foundOrPath(handle.name, async () => [{ file: file ?? (await handle.getFile()), handle }])
  }
  if (entry) return filesOfEntry(entry, '')
  return file ? [{ file }] : []
}

function filesOfFolder(
  folder: FileSystemDirectoryHandle,
  root: FileSystemDirectoryHandle,
  path: string,
): Promise<Found> {
  return foundOrPath(path, async () => {
    const found: Promise<Found>[] = []
    for await (const handle of folder.values()) {
      const ownPath = `${path}/${handle.name}`
      if (isFolderHandle(handle)) found.push(filesOfFolder(handle, root, ownPath))
      else if (isFileHandle(handle)) {
        const read = async () => [{ file: await handle.getFile(), path: ownPath, handle, folder: root }]
        found.push(foundOrPath(ownPath, read))
      }
    }
    return (await Promise.all(found)).flat()
  })
}

function filesOfEntry(entry: FileSystemEntry, folder: string): Promise<Found> {
  const path = `${folder}${entry.name}`
  return foundOrPath(path, async () => {
    if (isFileEntry(entry)) {
      const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
      return [folder === '' ? { file } : { file, path }]
    }
    if (!isDirectoryEntry(entry)) return []
    const entries = await readDirectory(entry)
    return (await Promise.all(entries.map((child) => filesOfEntry(child, `${path}/`)))).flat()
  })
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
