import { useEffect, useState } from 'preact/hooks'
import { droppedFiles } from './dropped-files.ts'
import './drop-zone.css'

/**
 * Accepts files that are dropped anywhere on the page, chosen by a click or a key on the zone, or pasted.
 *
 * @param props.onFiles called with the files, at least one
 */
export function DropZone({ onFiles }: { onFiles: (files: File[]) => void }) {
  const [isOver, setIsOver] = useState(false)

  useEffect(() => {
    const addFiles = (files: File[]) => {
      if (files.length > 0) onFiles(files)
    }
    const onDragOver = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      event.dataTransfer.dropEffect = 'copy'
      setIsOver(true)
    }
    const onDragLeave = (event: DragEvent) => {
      // The event also fires between two elements of the page. Then relatedTarget is set.
      if (event.relatedTarget === null) setIsOver(false)
    }
    const onDrop = (event: DragEvent) => {
      setIsOver(false)
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      droppedFiles(event.dataTransfer).then(addFiles)
    }
    const onPaste = (event: ClipboardEvent) => addFiles([...(event.clipboardData?.files ?? [])])
    document.addEventListener('dragover', onDragOver)
    document.addEventListener('dragleave', onDragLeave)
    document.addEventListener('drop', onDrop)
    document.addEventListener('paste', onPaste)
    return () => {
      document.removeEventListener('dragover', onDragOver)
      document.removeEventListener('dragleave', onDragLeave)
      document.removeEventListener('drop', onDrop)
      document.removeEventListener('paste', onPaste)
    }
  }, [onFiles])

  return (
    <label class={isOver ? 'drop-zone is-over' : 'drop-zone'}>
      <input
        type="file"
        multiple
        class="visually-hidden"
        aria-describedby="drop-zone-hint"
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])]
          // Without this, choosing the same file again fires no event.
          currentTarget.value = ''
          if (files.length > 0) onFiles(files)
        }}
      />
      <svg class="drop-zone-wave" viewBox="0 0 48 32" aria-hidden="true">
        <path d="M24 21V4m0 0-6 6m6-6 6 6" />
        <path d="M3 27c3.5 0 3.5-2.5 7-2.5s3.5 2.5 7 2.5 3.5-2.5 7-2.5 3.5 2.5 7 2.5 3.5-2.5 7-2.5 3.5 2.5 7 2.5" />
      </svg>
      <span class="drop-zone-title">{isOver ? 'Drop to upload' : 'Drop files here, or click to choose'}</span>
      <span id="drop-zone-hint" class="drop-zone-hint">
        Any number of files. You can also drop folders or paste images. Files go straight to S3.
      </span>
    </label>
  )
}
