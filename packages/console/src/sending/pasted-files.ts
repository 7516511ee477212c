import type { AddedFile } from './added-file.ts'

/** Browsers give every picture from the clipboard this name. */
const picturesName = 'image.png'

/** Returns the files of a paste, unless it is one into a field. Pictures get the time as their name. */
export function pastedFiles({ clipboardData, target }: ClipboardEvent): AddedFile[] {
  if (isField(target)) return []
  return [...(clipboardData?.files ?? [])].map((file) => ({
    file: file.name === picturesName ? rename(file) : file,
  }))
}

function rename(file: File): File {
  const time = new Date(file.lastModified).toLocaleString('sv').replaceAll(':', '.')
  return new File([file], `Pasted ${time}.png`, { type: file.type, lastModified: file.lastModified })
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(target.tagName)
}
