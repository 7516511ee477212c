import { CircleHelp } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import './explained.css'

/** A word with a button that explains it where it stands. Works with keyboard, finger and screen reader. */
export function Explained(props: { word: string; children: ComponentChildren }) {
  const id = useId()
  return (
    <span class="explained">
      {props.word}
      <button type="button" class="explained-button" aria-label={`What is: ${props.word}`} popovertarget={id}>
        <CircleHelp aria-hidden="true" />
      </button>
      <span id={id} popover="auto" class="explained-text">
        {props.children}
      </span>
    </span>
  )
}
