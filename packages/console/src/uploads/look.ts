import type { Look } from './collection-layout.ts'

const storageKey = 'millrace-uploads-look'

/** Whether this browser shows uploads as a grid or as a list. */
export function readLook(): Look {
  try {
    return localStorage.getItem(storageKey) === 'list' ? 'list' : 'grid'
  } catch {
    return 'grid'
  }
}

/** Keeps the choice in this browser. */
export function chooseLook(look: Look): void {
  // Private windows may refuse. The choice then lasts as long as the page.
  try {
    localStorage.setItem(storageKey, look)
  } catch {}
}
