import {
  CircleAlert,
  CircleCheck,
  File as FileIcon,
  FolderOpen,
  type LucideIcon,
  Pause,
  Play,
  RotateCw,
  X,
} from 'lucide-preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import type { Previews } from './previews.ts'
import { rowText } from './row-text.ts'
import type { Sending } from './sending.ts'
import { isActive, isProcessed, needsAttention, type SendingFile } from './sending-file.ts'
import './sending-row.css'

type Action = { label: string; icon: LucideIcon; run: () => void }

/** One file: what it is, how far it is, and what can be done with it. */
export function SendingRow({
  file,
  sending,
  previews,
}: {
  file: SendingFile
  sending: Sending
  previews: Previews
}) {
  const { key, filename, phase } = file
  const folder = filename.slice(0, filename.lastIndexOf('/') + 1)
  const text = rowText(file)
  // The same two buttons for all actions, so that the focus stays where it is.
  const [first, second] = actionsOf(file, sending)
  return (
    <>
      <Preview fileKey={key} phase={phase} previews={previews} />
      <div class="sending-row-text">
        <p class="sending-row-name" title={filename}>
          {folder && <span class="sending-row-folder">{folder}</span>}
          <span>{filename.slice(folder.length)}</span>
        </p>
        <p class={needsAttention(file) ? 'sending-row-state is-bad' : 'sending-row-state'} title={text}>
          {text}
        </p>
        <Progress file={file} />
      </div>
      <div class="sending-row-actions">
        {first && <RowButton {...first} filename={filename} />}
        {second && <RowButton {...second} filename={filename} />}
        {phase === 'ready' && <CircleCheck class="sending-row-ready" aria-hidden="true" />}
      </div>
    </>
  )
}

function RowButton({ label, icon, run, filename }: Action & { filename: string }) {
  return <Button label={`${label} ${filename}`} icon={icon} look="quiet" iconOnly onClick={run} />
}

function actionsOf(
  { key, phase, retryable, reopens }: SendingFile,
  sending: Sending,
): (Action | undefined)[] {
  const cancel = { label: 'Cancel', icon: X, run: () => sending.cancel(key) }
  const close = { label: 'Remove from the list:', icon: X, run: () => sending.dismiss(key) }
  const again = (label: string) => ({ label, icon: RotateCw, run: () => void sending.retry(key) })
  switch (phase) {
    case 'queued':
    case 'starting':
    case 'sending':
      return [{ label: 'Pause', icon: Pause, run: () => sending.pause(key) }, cancel]
    case 'paused':
      return [{ label: 'Resume', icon: Play, run: () => sending.resume(key) }, cancel]
    case 'waiting-for-network':
      return [again('Try now:'), cancel]
    case 'interrupted': {
      const goOn = reopens
        ? { label: 'Go on with', icon: Play, run: () => void sending.goOn([key]) }
        : { label: 'Choose again:', icon: FolderOpen, run: () => void sending.choose('files') }
      return [goOn, { label: 'Forget', icon: X, run: () => sending.cancel(key) }]
    }
    case 'failed':
      return [retryable ? again('Try again:') : undefined, close]
    case 'cancelled':
      return [again('Upload again:'), close]
    case 'rejected':
      return [undefined, close]
    default:
      return []
  }
}

function Progress({ file }: { file: SendingFile }) {
  const { filename, phase, size, sentBytes, progress } = file
  const label = `Progress of ${filename}`
  if (isProcessed(file)) {
    const { done, total } = progress ?? {}
    if (done === undefined || total === undefined) return <progress aria-label={label} />
    return <progress aria-label={label} value={done / total} />
  }
  if (!isActive(file) && !(phase === 'paused' && sentBytes > 0)) return null
  const isStill = phase === 'paused' || phase === 'waiting-for-network'
  return (
    <progress aria-label={label} class={isStill ? 'is-still' : ''} value={size > 0 ? sentBytes / size : 0} />
  )
}

function Preview({
  fileKey,
  phase,
  previews,
}: {
  fileKey: string
  phase: SendingFile['phase']
  previews: Previews
}) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [isDrawn, setIsDrawn] = useState(false)
  const isHere = phase !== 'interrupted'
  useEffect(() => {
    const { current } = canvas
    if (!current || !isHere) return
    const unmounted = new AbortController()
    previews.draw(fileKey, current, unmounted.signal).then((done) => {
      if (!unmounted.signal.aborted) setIsDrawn(done)
    })
    return () => unmounted.abort()
  }, [fileKey, previews, isHere])
  const isBad = phase === 'rejected' || phase === 'failed'
  return (
    <div class={isBad ? 'sending-row-preview is-bad' : 'sending-row-preview'} aria-hidden="true">
      {isBad ? <CircleAlert /> : <FileIcon />}
      <canvas ref={canvas} class={isDrawn && !isBad ? 'is-drawn' : ''} />
    </div>
  )
}
