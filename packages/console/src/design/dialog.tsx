import { X } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'
import { Button } from './button.tsx'
import './dialog.css'

/**
 * A modal dialog, open while it is rendered. It begins at the first field, if there is one. The browser keeps
 * the focus inside, and gives it back at the end.
 *
 * @param props.onClose called for Escape, the close button and a click beside the dialog
 */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const { title, onClose, children } = props
  const element = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  // At once: a key that is pressed right after the click is the dialog's.
  useLayoutEffect(() => {
    const dialog = element.current
    dialog?.showModal()
    // The browser would focus the close button.
    dialog?.querySelector<HTMLElement>('.dialog-body :is(input, select, textarea)')?.focus()
    return () => dialog?.close()
  }, [])
  return (
    <dialog
      ref={element}
      class="dialog"
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onPointerDown={({ target }) => {
        if (target === element.current) onClose()
      }}
    >
      <div class="dialog-header">
        <h2 id={titleId}>{title}</h2>
        <Button label="Close" icon={X} look="quiet" iconOnly onClick={onClose} />
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  )
}

/** The row of buttons at the end of a dialog. */
export function DialogActions({ children }: { children: ComponentChildren }) {
  return <div class="dialog-actions">{children}</div>
}
