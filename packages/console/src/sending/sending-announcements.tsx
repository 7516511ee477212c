import { useEffect, useRef, useState } from 'preact/hooks'
import { outcomeText } from './row-text.ts'
import type { Sending } from './sending.ts'
import { isActive, needsAttention, type SendingFile } from './sending-file.ts'

/** Outcomes within this time are announced together, in ms. */
const periodMs = 1_000

/** Lets screen readers read what became of the files, and that the network is gone; not each percent. */
export function SendingAnnouncements({ sending }: { sending: Sending }) {
  const files = sending.files.value
  const isWaiting = sending.connection.value !== 'online' && files.some(isActive)
  const [text, setText] = useState('')
  const told = useRef(new Map<string, SendingFile['phase']>())
  const outcomes = useRef<SendingFile[]>([])
  const timer = useRef<ReturnType<typeof setTimeout>>()
  const wasWaiting = useRef(false)

  useEffect(() => {
    if (isWaiting !== wasWaiting.current) {
      setText(isWaiting ? 'Waiting for the network. Nothing is lost.' : 'The network is back.')
    }
    wasWaiting.current = isWaiting
  }, [isWaiting])

  useEffect(() => {
    for (const file of files) {
      const isNew = told.current.get(file.key) !== file.phase
      told.current.set(file.key, file.phase)
      if (isNew && outcomeText(file) !== undefined) outcomes.current.push(file)
    }
    if (outcomes.current.length === 0) return
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      setText(outcomesText(outcomes.current.splice(0)))
    }, periodMs)
  }, [files])

  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {text}
    </p>
  )
}

function outcomesText(files: readonly SendingFile[]): string {
  const [first] = files
  if (files.length === 1 && first) return outcomeText(first) ?? ''
  const bad = files.filter(needsAttention).length
  const ready = files.length - bad
  return [ready > 0 && `${ready} files are ready.`, bad > 0 && `${bad} need attention.`]
    .filter(Boolean)
    .join(' ')
}
