import { Upload } from 'lucide-preact'
import { useEffect, useState } from 'preact/hooks'
import { droppedFiles } from './dropped-files.ts'
import { pastedFiles } from './pasted-files.ts'
import type { Sending } from './sending.ts'
import './drop-target.css'

/** Takes files that are dropped anywhere on the page, or pasted. While files are dragged over it, it says so. */
export function DropTarget({ sending }: { sending: Sending }) {
  const [isOver, setIsOver] = useState(false)
  useEffect(() => {
    const onDragOver = (event: DragEvent) => {
      if (!hasFiles(event)) return
      event.preventDefault()
      if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy'
      setIsOver(true)
    }
    const onDragLeave = (event: DragEvent) => {
      // The event also fires between two elements of the page. Then relatedTarget is set.
      if (event.relatedTarget === null) setIsOver(false)
    }
    const onDrop = (event: DragEvent) => {
      setIsOver(false)
      if (!event.dataTransfer || !hasFiles(event)) return
      event.preventDefault()
      droppedFiles(event.dataTransfer).then(({ files, unreadable }) => {
        if (files.length > 0) sending.add(files)
        if (unreadable.length > 0) sending.addUnreadable(unreadable)
      })
    }
    const onPaste = (event: ClipboardEvent) => {
      const files = pastedFiles(event)
      if (files.length === 0) return
      event.preventDefault()
      sending.add(files)
    }
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
  }, [sending])
  if (!isOver) return null
  return (
    <div class="drop-target">
      <div class="drop-target-label">
        <Upload aria-hidden="true" />
        <strong>Drop to upload</strong>
        <span>Files and folders</span>
      </div>
    </div>
  )
}

function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes('Files') === true
}
