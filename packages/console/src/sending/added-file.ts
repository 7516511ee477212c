/** A file that the user gave to the page. */
export type AddedFile = {
  file: File
  /** Its path, if it belongs to a folder: `album/summer.jpg`. */
  path?: string
  /** Opens it again after the page was reloaded. Only some browsers have such. */
  handle?: FileSystemFileHandle
  /** The folder that it was dropped with: a permission for it is one for all its files. */
  folder?: FileSystemDirectoryHandle
}

/** The API keeps filenames up to this length, in code points. */
const maxFilenameLength = 255

/** Returns the filename that a file is uploaded with. The API finds all of a folder by the beginning of the filename. */
export function filenameOf({ file, path }: AddedFile): string {
  return path !== undefined && [...path].length <= maxFilenameLength ? path : file.name
}
