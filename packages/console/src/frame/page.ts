import type { LucideIcon } from 'lucide-preact'
import type { ComponentType } from 'preact'

/** A page of the console. `path` begins with a slash, without the path under which the API is served. */
export type Page = {
  path: string
  title: string
  icon: LucideIcon
  /** Second key of the shortcut that opens it, after `g`. */
  key: string
  /** Rendered while `path` is the page's address. Loaded lazily for all but the first page. */
  component: ComponentType
}
