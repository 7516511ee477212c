import type { LucideIcon } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import './empty-state.css'

/** What a page shows instead of content: why there is none, and what to do. */
export function EmptyState(props: { icon: LucideIcon; title: string; children?: ComponentChildren }) {
  const { icon: Icon, title, children } = props
  return (
    <div class="empty-state">
      <Icon aria-hidden="true" />
      <h2>{title}</h2>
      {children}
    </div>
  )
}
