import {
  ChevronDown,
  ChevronUp,
  CircleAlert,
  CircleCheck,
  CloudUpload,
  Pause,
  Play,
  WifiOff,
  X,
} from 'lucide-preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import { Dialog, DialogActions } from '../design/dialog.tsx'
import { type Shortcuts, useShortcuts } from '../frame/shortcuts.ts'
import { DropTarget } from './drop-target.tsx'
import { InterruptedNotice } from './interrupted-notice.tsx'
import { createPreviews } from './previews.ts'
import type { Sending } from './sending.ts'
import { SendingAnnouncements } from './sending-announcements.tsx'
import { SendingRows } from './sending-rows.tsx'
import type { Summary } from './sending-summary.ts'
import './sending-tray.css'

/** How long the tray stays after the last file, in ms. */
const shownMs = 10_000

/** On narrower screens the tray begins as one line. */
const wide = '(min-width: 52rem)'

/**
 * The files that are being sent, at the bottom of every page, and what takes dropped and pasted files. Must stay while pages
 * change.
 */
export function SendingTray({ sending, shortcuts }: { sending: Sending; shortcuts: Shortcuts }) {
  useShortcuts(
    shortcuts,
    useMemo(() => [{ keys: 'u', label: 'Upload files', run: () => void sending.choose('files') }], [sending]),
  )
  const isShown = sending.files.value.length > 0
  return (
    <>
      <DropTarget sending={sending} />
      <SendingAnnouncements sending={sending} />
      {isShown && <Tray sending={sending} />}
    </>
  )
}

function Tray({ sending }: { sending: Sending }) {
  const [isOpen, setIsOpen] = useState(() => matchMedia(wide).matches)
  const [asksToCancel, setAsksToCancel] = useState(false)
  const previews = useMemo(() => createPreviews(sending), [sending])
  const element = useRef<HTMLElement>(null)
  const toggle = useRef<HTMLButtonElement>(null)
  const files = sending.files.value
  const summary = sending.summary.value
  useDismissal(sending, summary, element)
  useKeptFocus(element, toggle, files)
  const cancelAll = () => {
    if (summary.unsent > 1) setAsksToCancel(true)
    else sending.cancelAll()
  }
  const Toggle = isOpen ? ChevronDown : ChevronUp
  return (
    <section ref={element} class={`tray is-${summary.tone}`} aria-label="Sending files">
      <div class="tray-header">
        <button
          ref={toggle}
          type="button"
          class="tray-toggle"
          aria-expanded={isOpen}
          onClick={() => setIsOpen(!isOpen)}
        >
          <SummaryIcon summary={summary} />
          <span class="tray-summary">
            <span class="tray-title">{summary.title}</span>
            <span class="tray-detail">{summary.detail}</span>
          </span>
          <Toggle class="tray-chevron" aria-hidden="true" />
        </button>
        <TrayActions sending={sending} summary={summary} onCancelAll={cancelAll} />
      </div>
      {summary.progress !== undefined && (
        <progress
          aria-label="Progress of all files"
          class={summary.tone === 'waiting' ? 'is-still' : ''}
          value={summary.progress}
        />
      )}
      {isOpen && (
        <>
          <InterruptedNotice sending={sending} />
          <SendingRows files={files} sending={sending} previews={previews} />
        </>
      )}
      {asksToCancel && (
        <Dialog title={`Cancel ${summary.unsent} files?`} onClose={() => setAsksToCancel(false)}>
          <p>What was sent of them is deleted. Files that are uploaded already stay.</p>
          <DialogActions>
            <Button label="Go on sending" onClick={() => setAsksToCancel(false)} />
            <Button
              label="Cancel them"
              look="danger"
              onClick={() => {
                setAsksToCancel(false)
                sending.cancelAll()
              }}
            />
          </DialogActions>
        </Dialog>
      )}
    </section>
  )
}

function TrayActions(props: { sending: Sending; summary: Summary; onCancelAll: () => void }) {
  const { sending, summary, onCancelAll } = props
  const { unsent, paused, interrupted } = summary
  if (unsent === 0) {
    if (summary.isBusy || interrupted > 0) return null
    return <Button label="Close" icon={X} look="quiet" iconOnly onClick={sending.dismissFinished} />
  }
  const isPaused = paused === unsent
  return (
    <>
      <Button
        label={isPaused ? 'Resume all' : 'Pause all'}
        icon={isPaused ? Play : Pause}
        look="quiet"
        iconOnly
        onClick={isPaused ? sending.resumeAll : sending.pauseAll}
      />
      <Button label="Cancel all" icon={X} look="quiet" iconOnly onClick={onCancelAll} />
    </>
  )
}

function SummaryIcon({ summary: { tone, unsent, paused } }: { summary: Summary }) {
  const icons = { busy: CloudUpload, good: CircleCheck, bad: CircleAlert, waiting: CloudUpload }
  const Icon =
    tone === 'waiting' && unsent > paused ? WifiOff : tone === 'waiting' && paused > 0 ? Pause : icons[tone]
  return <Icon class="tray-icon" aria-hidden="true" />
}

/** Closes the tray some time after the last file, unless somebody uses it. */
function useDismissal(sending: Sending, { isOver }: Summary, element: { current: HTMLElement | null }): void {
  useEffect(() => {
    if (!isOver) return
    const timer = setInterval(() => {
      if (!element.current?.matches(':hover, :focus-within')) sending.dismissFinished()
    }, shownMs)
    return () => clearInterval(timer)
  }, [isOver, sending, element])
}

/** A row that goes away must not take the focus with it. */
function useKeptFocus(
  element: { current: HTMLElement | null },
  fallback: { current: HTMLElement | null },
  change: unknown,
): void {
  const hadFocus = useRef(false)
  useEffect(() => {
    const { current } = element
    const isInside = () => current?.contains(document.activeElement) === true
    const onFocus = () => {
      hadFocus.current = true
    }
    const onPointer = ({ target }: Event) => {
      if (!(target instanceof Node && current?.contains(target))) hadFocus.current = false
    }
    current?.addEventListener('focusin', onFocus)
    const onFocusElsewhere = () => {
      if (!isInside()) hadFocus.current = false
    }
    document.addEventListener('focusin', onFocusElsewhere)
    document.addEventListener('pointerdown', onPointer)
    return () => {
      current?.removeEventListener('focusin', onFocus)
      document.removeEventListener('focusin', onFocusElsewhere)
      document.removeEventListener('pointerdown', onPointer)
    }
  }, [element])
  useEffect(() => {
    if (hadFocus.current && document.activeElement === document.body) fallback.current?.focus()
  }, [change, fallback])
}
