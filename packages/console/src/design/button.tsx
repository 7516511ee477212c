import type { LucideIcon } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import './button.css'

export type ButtonProps = {
  /** The button's text. With `icon` alone it is its name, for screen readers and as a tooltip. */
  label: string
  icon?: LucideIcon
  look?: 'primary' | 'plain' | 'quiet' | 'danger'
  /** Shows the icon without the text. */
  iconOnly?: boolean
  /** The button stays focusable, so that its reason can be read. */
  disabled?: boolean
  /** Key that runs the same action, as `aria-keyshortcuts` writes it. */
  shortcut?: string
  /** Submits the form that the button is in. */
  submits?: boolean
  onClick?: (event: MouseEvent) => void
  children?: ComponentChildren
}

/** A button. A disabled one keeps the focus and does nothing. */
export function Button(props: ButtonProps) {
  const { label, icon: Icon, look = 'plain', iconOnly = false, disabled = false, shortcut, onClick } = props
  const { submits = false } = props
  return (
    <button
      type={submits ? 'submit' : 'button'}
      class={`button is-${look}${iconOnly ? ' is-icon' : ''}`}
      aria-label={iconOnly ? label : undefined}
      aria-disabled={disabled}
      aria-keyshortcuts={shortcut}
      title={iconOnly ? label : undefined}
      onClick={(event) => {
        if (disabled) event.preventDefault()
        else onClick?.(event)
      }}
    >
      {Icon && <Icon aria-hidden="true" />}
      {!iconOnly && label}
      {props.children}
    </button>
  )
}
