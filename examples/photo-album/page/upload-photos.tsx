import { createUploadHooks, type UploadItem } from '@millrace/client/react'
import { type DragEvent, useEffect, useState } from 'react'
import type { Uploads } from '../server/uploads.ts'

// Only the type of the server's routes comes here, and no code.
const { useUpload } = createUploadHooks<Uploads>({ endpoint: '/api/uploads' })

export function UploadPhotos() {
  const { start, uploads, isSending, progress } = useUpload('photo')
  const [isOver, setIsOver] = useState(false)
  const readyCount = uploads.filter(({ state }) => state === 'ready').length

  // The browser asks before it leaves the page, as long as files are being sent.
  useEffect(() => {
    if (!isSending) return
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    window.addEventListener('beforeunload', ask)
    return () => window.removeEventListener('beforeunload', ask)
  }, [isSending])

  function drop(event: DragEvent) {
    event.preventDefault()
    setIsOver(false)
    start(event.dataTransfer.files)
  }

  return (
    <section aria-label="Add photos">
      <label
        className={isOver ? 'drop-zone over' : 'drop-zone'}
        onDragOver={(event) => {
          event.preventDefault()
          setIsOver(true)
        }}
        onDragLeave={() => setIsOver(false)}
        onDrop={drop}
      >
        <input
          type="file"
          accept="image/*"
          multiple
          onChange={({ target }) => {
            start(target.files ?? [])
            // The same file can be chosen again.
            target.value = ''
          }}
        />
        Choose photos, or drop them here
      </label>
      {/* What screen readers announce: not each step of each file. */}
      <p role="status" className="note">
        {uploads.length > 0 && `${readyCount} of ${uploads.length} photos are ready.`}
      </p>
      {isSending && <progress value={progress} aria-label="All files" />}
      <ul className="uploads">
        {uploads.map((upload) => (
          <UploadRow key={upload.key} upload={upload} />
        ))}
      </ul>
    </section>
  )
}

function UploadRow({ upload }: { upload: UploadItem }) {
  const { file, state, progress, pause, resume, abort, remove } = upload
  const isUnsent = state === 'waiting' || state === 'sending' || state === 'paused'
  return (
    <li>
      <span className="name">{file.name}</span>
      <span className="state">{describe(upload)}</span>
      {isUnsent && <progress value={progress} aria-label={`${file.name}: sent`} />}
      <span className="actions">
        {state === 'sending' && <Action name="Pause" file={file} onClick={pause} />}
        {state === 'paused' && <Action name="Resume" file={file} onClick={resume} />}
        {state === 'failed' && <Action name="Try again" file={file} onClick={resume} />}
        {isUnsent && <Action name="Cancel" file={file} onClick={abort} />}
        {!isUnsent && state !== 'processing' && <Action name="Dismiss" file={file} onClick={remove} />}
      </span>
    </li>
  )
}

function Action({ name, file, onClick }: { name: string; file: File; onClick: () => void }) {
  return (
    <button type="button" aria-label={`${name}: ${file.name}`} onClick={onClick}>
      {name}
    </button>
  )
}

function describe({ state, progress, processing, variants, error }: UploadItem): string {
  if (error) return error.message
  if (state === 'sending' || state === 'paused') return `${state}, ${Math.round(progress * 100)} %`
  if (state === 'processing' && processing?.step === 'rendering')
    return `rendering ${processing.done} of ${processing.total}`
  if (state === 'ready') return `ready in ${variants.length} sizes`
  return state
}
