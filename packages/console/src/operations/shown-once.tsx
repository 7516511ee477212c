import type { ComponentChildren } from 'preact'
import { CopyButton } from '../design/copy-button.tsx'

/** A secret that is shown only now, to be copied. @param props.what such as "the key" */
export function ShownOnce(props: { secret: string; what: string; children?: ComponentChildren }) {
  const { secret, what, children } = props
  return (
    <div class="shown-once">
      <p role="status">{children}</p>
      <div class="code-box">
        <code>{secret}</code>
        <CopyButton text={secret} what={what} />
      </div>
    </div>
  )
}
