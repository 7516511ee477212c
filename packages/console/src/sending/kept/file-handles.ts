/** What browsers have beside TypeScript's types (https://wicg.github.io/file-system-access/). */
type Permission = { name?: string; mode: 'read' }
type WithPermissions = {
  queryPermission(options: Permission): Promise<PermissionState>
  requestPermission(options: Permission): Promise<PermissionState>
}
type OpenFilePicker = (options: { multiple: boolean }) => Promise<FileSystemFileHandle[]>

/** Whether a handle may be read without asking the user. */
export async function mayRead(handle: FileSystemHandle): Promise<boolean> {
  if (!hasPermissions(handle)) return true
  return (await handle.queryPermission({ mode: 'read' })) === 'granted'
}

/** Asks the user whether a handle may be read, unless it may. Needs a click or a key. */
export async function askToRead(handle: FileSystemHandle): Promise<boolean> {
  if (!hasPermissions(handle)) return true
  return (await handle.requestPermission({ mode: 'read' })) === 'granted'
}

/** Returns the browser's dialog that gives handles of files, if it has one. */
export function openFilePicker(): OpenFilePicker | undefined {
  if (!('showOpenFilePicker' in window)) return undefined
  const { showOpenFilePicker: show } = window
  return typeof show === 'function' ? (options) => show.call(window, options) : undefined
}

/** Returns the handle of a dropped file or folder, if the browser has such. Must be called during the event. */
export async function handleOf(item: DataTransferItem): Promise<FileSystemHandle | undefined> {
  if (!('getAsFileSystemHandle' in item) || typeof item.getAsFileSystemHandle !== 'function') return undefined
  try {
    const handle: unknown = await item.getAsFileSystemHandle()
    return handle instanceof FileSystemHandle ? handle : undefined
  } catch {
    return undefined
  }
}

export function isFileHandle(handle: unknown): handle is FileSystemFileHandle {
  return typeof FileSystemFileHandle !== 'undefined' && handle instanceof FileSystemFileHandle
}

export function isFolderHandle(handle: unknown): handle is FileSystemDirectoryHandle {
  return typeof FileSystemDirectoryHandle !== 'undefined' && handle instanceof FileSystemDirectoryHandle
}

function hasPermissions<Handle extends FileSystemHandle>(handle: Handle): handle is Handle & WithPermissions {
  return 'queryPermission' in handle && 'requestPermission' in handle
}
