import type { AddedFile } from './added-file.ts'
import { openFilePicker } from './kept/file-handles.ts'

export type Source = 'files' | 'folder' | 'camera'

/**
 * Lets the user choose files. Needs a click or a key.
 *
 * @param source `camera` takes a photo, on devices whose browsers can; others show the files' dialog
 * @param onFiles called with the files, at least one. Not called if the user chooses none
 */
export async function chooseFiles(source: Source, onFiles: (files: AddedFile[]) => void): Promise<void> {
  const pick = source === 'files' ? openFilePicker() : undefined
  if (!pick) return chooseWithInput(source, onFiles)
  try {
    const handles = await pick({ multiple: true })
    onFiles(await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle }))))
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return
    // Frames of other origins may not use it, for example.
    chooseWithInput(source, onFiles)
  }
}

function chooseWithInput(source: Source, onFiles: (files: AddedFile[]) => void): void {
  const input = document.createElement('input')
  input.type = 'file'
  input.multiple = source !== 'camera'
  input.hidden = true
  if (source === 'folder') input.webkitdirectory = true
  if (source === 'camera') {
    input.accept = 'image/*,video/*'
    input.capture = 'environment'
  }
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])]
    input.remove()
    if (files.length > 0) onFiles(files.map(withPath))
  })
  input.addEventListener('cancel', () => input.remove())
  // Safari ignores inputs outside of the page.
  document.body.append(input)
  input.click()
}

function withPath(file: File): AddedFile {
  return file.webkitRelativePath === '' ? { file } : { file, path: file.webkitRelativePath }
}
