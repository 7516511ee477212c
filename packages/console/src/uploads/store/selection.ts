import { signal } from '@preact/signals'
import type { Ids } from './ordered-ids.ts'

/** Creates the set of uploads that are selected in a list. */
export function createSelection() {
  const ids = signal<ReadonlySet<string>>(new Set())
  /** Where the last selection began: Shift extends from here. */
  let anchor: string | undefined
  /** What was selected before the extension, so that a smaller extension selects less. */
  let base: ReadonlySet<string> = new Set()

  return {
    ids,

    toggle(id: string): void {
      const next = new Set(ids.peek())
      if (!next.delete(id)) next.add(id)
      anchor = id
      base = next
      ids.value = next
    },

    /** Where an extension begins if nothing was selected before. */
    begin(id: string): void {
      if (ids.peek().size > 0) return
      anchor = id
      base = new Set()
    },

    /** Selects from where the last selection began to an upload. @param order all uploads of the list, in its order */
    extendTo(id: string, order: Ids): void {
      const from = anchor === undefined ? -1 : order.indexOf(anchor)
      const to = order.indexOf(id)
      if (to < 0) return
      const start = from < 0 ? to : from
      const range = order.slice(Math.min(start, to), Math.max(start, to) + 1)
      ids.value = new Set([...base, ...range])
    },

    selectAll(order: Ids): void {
      ids.value = new Set(order)
      base = ids.peek()
    },

    remove(gone: ReadonlySet<string>): void {
      if (![...ids.peek()].some((id) => gone.has(id))) return
      ids.value = without(ids.peek(), gone)
      base = without(base, gone)
    },

    clear(): void {
      anchor = undefined
      base = new Set()
      if (ids.peek().size > 0) ids.value = new Set()
    },
  }
}

export type Selection = ReturnType<typeof createSelection>

function without(ids: ReadonlySet<string>, gone: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...ids].filter((id) => !gone.has(id)))
}
