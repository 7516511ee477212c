import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

/** A key, or two keys one after the other, such as `g f`. Written as `KeyboardEvent.key` names them. */
export type Shortcut = { keys: string; label: string; run: () => void }

/** How long the second key of two may take, in ms. */
const secondKeyMs = 1_500

/** Creates the list of keyboard shortcuts. Keys typed into a field, or with a modifier, are never shortcuts. */
export function createShortcuts() {
  const list = signal<readonly Shortcut[]>([])
  let firstKey = ''
  let firstKeyAt = 0

  document.addEventListener('keydown', (event) => {
    const { key, target, timeStamp } = event
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isField(target)) return
    // A dialog or a menu has the page's keys for itself: Escape closes it.
    if (document.querySelector('dialog[open], :popover-open')) return
    const isSecond = firstKey !== '' && timeStamp - firstKeyAt < secondKeyMs
    const typed = isSecond ? `${firstKey} ${key}` : key
    firstKey = ''
    const found = list.value.findLast(({ keys }) => keys === typed)
    if (found) {
      event.preventDefault()
      found.run()
    } else if (list.value.some(({ keys }) => keys.startsWith(`${key} `))) {
      firstKey = key
      firstKeyAt = timeStamp
    }
  })

  return {
    list,
    /** @returns a function that removes them */
    add(shortcuts: readonly Shortcut[]): () => void {
      list.value = [...list.value, ...shortcuts]
      return () => {
        list.value = list.value.filter((shortcut) => !shortcuts.includes(shortcut))
      }
    },
  }
}

export type Shortcuts = ReturnType<typeof createShortcuts>

/** Adds shortcuts while a component is shown. @param list must keep its identity between renders, as `useMemo` gives it */
export function useShortcuts(shortcuts: Shortcuts, list: readonly Shortcut[]): void {
  useEffect(() => shortcuts.add(list), [shortcuts, list])
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(target.tagName)
}
