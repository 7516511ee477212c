/** A key as `KeyboardEvent` tells of it. */
type Key = { key: string; ctrlKey: boolean; metaKey: boolean; altKey: boolean }

/** Where the focus is in a grid. */
export type FocusPlace = { index: number; count: number; columns: number; visibleRows: number }

/**
 * Returns the index that a key moves the focus to, or undefined for any other key. In a list, which has one column, the keys
 * for left and right do nothing.
 */
export function moveFocus(
  { key, ctrlKey, metaKey, altKey }: Key,
  { index, count, columns, visibleRows }: FocusPlace,
): number | undefined {
  if (altKey || metaKey || count === 0) return undefined
  if (ctrlKey && key !== 'Home' && key !== 'End') return undefined
  const steps: Record<string, number> = {
    ArrowUp: -columns,
    ArrowDown: columns,
    PageUp: -columns * visibleRows,
    PageDown: columns * visibleRows,
    ...(columns > 1 && { ArrowLeft: -1, ArrowRight: 1 }),
  }
  if (key === 'Home') return 0
  if (key === 'End') return count - 1
  const step = steps[key]
  if (step === undefined) return undefined
  const next = index + step
  // The last row may be shorter: down from above its gap leads to its last upload.
  if (step === columns && next >= count) {
    const isLastRow = Math.floor(index / columns) === Math.floor((count - 1) / columns)
    return isLastRow ? index : count - 1
  }
  if (step === -columns && next < 0) return index
  return Math.min(Math.max(next, 0), count - 1)
}
