import type { RefObject } from 'preact'
import { useLayoutEffect, useState } from 'preact/hooks'

export type Look = 'grid' | 'list'

/** In CSS pixels. On phones, two columns fit. */
const smallestTile = { phone: 140, other: 172 }
const phoneWidth = 520
const gap = 12
/** Two lines of text below a picture. */
const captionHeight = 46
/** Width divided by height of a tile's picture. */
const pictureShape = 4 / 3
const listRowHeight = 56

/** Where the rows of the uploads are, in CSS pixels. */
export type CollectionLayout = {
  columns: number
  rowHeight: number
  /** Distance of the first row from the top of the page. */
  top: number
  pictureHeight: number
}

/** Measures the place of the uploads: how many stand in a row, and how high a row is. */
export function useCollectionLayout(element: RefObject<HTMLElement>, look: Look): CollectionLayout {
  const [place, setPlace] = useState({ width: 0, top: 0 })
  useLayoutEffect(() => {
    const measure = () => {
      if (!element.current) return
      const { width, top } = element.current.getBoundingClientRect()
      const next = { width: Math.floor(width), top: Math.round(top + scrollY) }
      setPlace((current) => (current.width === next.width && current.top === next.top ? current : next))
    }
    measure()
    const observer = new ResizeObserver(measure)
    if (element.current) observer.observe(element.current)
    // Whatever appears above moves the rows, and changes the height of the page.
    observer.observe(document.body)
    return () => observer.disconnect()
  }, [element])
  const { width, top } = place
  if (look === 'list') return { columns: 1, rowHeight: listRowHeight, top, pictureHeight: 40 }
  const smallest = width < phoneWidth ? smallestTile.phone : smallestTile.other
  const columns = Math.max(2, Math.floor((width + gap) / (smallest + gap)))
  const tileWidth = (width - gap * (columns - 1)) / columns
  const pictureHeight = Math.max(1, Math.round(tileWidth / pictureShape))
  return { columns, rowHeight: pictureHeight + captionHeight + gap, top, pictureHeight }
}
