import { signal } from '@preact/signals'
import { X } from 'lucide-preact'
import { Button } from './button.tsx'
import './toasts.css'

type Toast = { id: number; text: string; tone: 'plain' | 'bad' }

/** How long a message stays, in ms. Messages about failures stay until they are closed. */
const shownMs = 6_000

/** Creates the short messages at the bottom of the page. */
export function createToasts() {
  const shown = signal<readonly Toast[]>([])
  let lastId = 0

  function close(id: number): void {
    shown.value = shown.value.filter((toast) => toast.id !== id)
  }

  function show(text: string, tone: Toast['tone']): void {
    lastId += 1
    const id = lastId
    shown.value = [...shown.value, { id, text, tone }]
    if (tone === 'plain') setTimeout(() => close(id), shownMs)
  }

  return {
    shown,
    close,
    tell: (text: string): void => show(text, 'plain'),
    /** Shows why something failed. @param what a sentence, such as "The upload could not be deleted" */
    tellFailure: (what: string, error: unknown): void =>
      show(`${what}: ${error instanceof Error ? error.message : String(error)}`, 'bad'),
  }
}

export type Toasts = ReturnType<typeof createToasts>

/** Shows the messages, and lets screen readers read them. */
export function ToastList({ toasts }: { toasts: Toasts }) {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.shown.value.map(({ id, text, tone }) => (
        <div key={id} class={`toast is-${tone}`}>
          <span>{text}</span>
          <Button label="Close message" icon={X} look="quiet" iconOnly onClick={() => toasts.close(id)} />
        </div>
      ))}
    </div>
  )
}
