import type { ComponentChildren } from 'preact'
import { useContext, useEffect, useRef } from 'preact/hooks'
import { HasNavigated } from './has-navigated.ts'
import './page-header.css'

/** The first thing of a page: its heading, one sentence, and its actions at the right. */
export function PageHeader(props: { title: string; note?: ComponentChildren; children?: ComponentChildren }) {
  const { title, note, children } = props
  const heading = useRef<HTMLHeadingElement>(null)
  const hasNavigated = useContext(HasNavigated)
  useEffect(() => {
    document.title = `${title} · Millrace`
    // After a navigation, screen readers read the new heading.
    if (hasNavigated.current) heading.current?.focus({ preventScroll: true })
  }, [title, hasNavigated])
  return (
    <div class="page-header">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {note && <p>{note}</p>}
      </div>
      {children && <div class="page-actions">{children}</div>}
    </div>
  )
}
