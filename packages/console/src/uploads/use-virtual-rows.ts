import {
  defaultRangeExtractor,
  observeWindowOffset,
  observeWindowRect,
  type Range,
  type VirtualItem,
  Virtualizer,
  windowScroll,
} from '@tanstack/virtual-core'
import { useLayoutEffect, useReducer, useState } from 'preact/hooks'

/** Rows beyond the edges of the window that are rendered as well. */
const overscan = 3

/** Which rows are rendered, and where. */
export type VirtualRows = {
  items: readonly VirtualItem[]
  /** Of all rows, in CSS pixels. */
  totalHeight: number
  /** Scrolls as little as possible until a row is in the window. */
  scrollTo(row: number): void
}

/**
 * Renders only the rows that are in the window, of any number of rows of the same height. The window scrolls, not an element:
 * so phones hide their bars, and the browser's own keys and gestures work.
 *
 * @param options.height of a row, in CSS pixels
 * @param options.top where the first row is in the page, in CSS pixels
 * @param options.keep a row that is rendered wherever it is, so that what has the focus keeps it
 * @param options.covered how much of the window's upper edge is covered, in CSS pixels
 */
export function useVirtualRows(options: {
  count: number
  height: number
  top: number
  covered: number
  keep: number | undefined
}): VirtualRows {
  const { count, height, top, covered, keep } = options
  const [, render] = useReducer<number, undefined>((times) => times + 1, 0)
  const settings = {
    count,
    estimateSize: () => height,
    scrollMargin: top,
    scrollPaddingStart: covered,
    scrollPaddingEnd: 16,
    overscan,
    rangeExtractor(range: Range) {
      const rows = defaultRangeExtractor(range)
      if (keep === undefined || keep >= count || rows.includes(keep)) return rows
      return [...rows, keep].sort((a, b) => a - b)
    },
    getScrollElement: () => window,
    observeElementRect: observeWindowRect,
    observeElementOffset: observeWindowOffset,
    scrollToFn: windowScroll<Window>,
    initialOffset: () => scrollY,
    initialRect: { width: innerWidth, height: innerHeight },
    onChange: () => render(undefined),
  }
  const [virtualizer] = useState(() => new Virtualizer<Window, HTMLElement>(settings))
  virtualizer.setOptions(settings)
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer])
  useLayoutEffect(() => virtualizer._willUpdate())
  useLayoutEffect(() => {
    virtualizer.measure()
  }, [virtualizer, height])
  return {
    items: virtualizer.getVirtualItems(),
    totalHeight: virtualizer.getTotalSize(),
    scrollTo: (row) => virtualizer.scrollToIndex(row, { align: 'auto' }),
  }
}
