// biome-ignore-all lint/a11y/useSemanticElements: the rows of a virtual list are positioned, which those of a table cannot be.
// biome-ignore-all lint/a11y/useFocusableInteractive: one element of the grid is focusable at a time (roving tabindex).

import { useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import './collection.css'
import { type Look, useCollectionLayout } from './collection-layout.ts'
import { moveFocus } from './move-focus.ts'
import type { Uploads } from './store/uploads.ts'
import { type CellProps, ColumnHeaders, Row, Tile } from './upload-cells.tsx'
import { useVirtualRows } from './use-virtual-rows.ts'

/** Rows of placeholders while the first uploads are loaded, and at the end while there are more. */
const firstPlaceholderRows = { grid: 4, list: 12 }
const nextPlaceholderRows = 3
/** The next page is requested when so many rows are left. */
const rowsLeftToLoad = 8
/** The height of what stays at the upper edge of the window, in CSS pixels. */
const coveredHeight = 72

/**
 * The uploads as a grid or as a list. Only those in the window are rendered. Arrow keys move, Space selects, Enter opens, and
 * Shift extends the selection; a click opens, Ctrl-click selects.
 *
 * @param props.openId the upload that the side panel shows
 * @param props.focusId set it to give an upload the focus
 * @param props.onOpen called with the id of an upload to show
 */
export function Collection(props: {
  uploads: Uploads
  look: Look
  openId: string | undefined
  focusId: string | undefined
  onOpen: (id: string) => void
  fileOf: ((id: string) => File | undefined) | undefined
}) {
  const { uploads, look, openId, focusId, onOpen, fileOf } = props
  const { store, selection, status } = uploads
  const body = useRef<HTMLDivElement>(null)
  const layout = useCollectionLayout(body, look)
  const activeId = useSignal<string | undefined>(undefined)
  /** The upload that gets the focus once it is rendered. */
  const focusNext = useRef<string | undefined>(undefined)
  const hasFocus = useRef(false)

  const ids = store.ids.value
  const { columns, rowHeight, top, pictureHeight } = layout
  const hasMore = store.end.value !== undefined && !['paused', 'failed'].includes(status.value.kind)
  const rowsOfUploads = Math.ceil(ids.length / columns)
  const placeholderRows = ids.length === 0 ? firstPlaceholderRows[look] : nextPlaceholderRows
  const activeIndex = activeId.value === undefined ? -1 : ids.indexOf(activeId.value)
  const rows = useVirtualRows({
    count: rowsOfUploads + (hasMore ? placeholderRows : 0),
    height: rowHeight,
    top,
    covered: coveredHeight,
    keep: activeIndex < 0 ? undefined : Math.floor(activeIndex / columns),
  })
  const lastRow = rows.items.at(-1)?.index ?? 0
  const firstRow = rows.items[0]?.index ?? 0

  useEffect(() => {
    if (lastRow >= rowsOfUploads - rowsLeftToLoad && status.value.kind === 'idle') uploads.loadMore()
  }, [lastRow, rowsOfUploads, status.value, uploads])

  // Beside the panel there are fewer columns: what is open, or has the focus, stays in the window.
  const keptId = openId ?? activeId.peek()
  useLayoutEffect(() => {
    const index = keptId === undefined ? -1 : ids.indexOf(keptId)
    if (index >= 0 && isOutside(Math.floor(index / columns) * rowHeight + top - scrollY, rowHeight))
      rows.scrollTo(Math.floor(index / columns))
  }, [columns, rowHeight, openId])

  // Where the reader was before another page was shown.
  const isPlaced = useRef(false)
  useLayoutEffect(() => {
    if (top === 0 || isPlaced.current) return
    isPlaced.current = true
    if (uploads.scrollTop > 0) scrollTo(0, uploads.scrollTop)
  }, [top, uploads])
  useEffect(() => {
    const onScroll = () => {
      // While the next page is loaded, this one may be removed already, and the window at its top.
      if (!body.current?.isConnected) return
      if (isPlaced.current) uploads.scrollTop = scrollY
      // New uploads appear at the beginning only while it is seen.
      store.hold(scrollY > top + rowHeight)
    }
    onScroll()
    addEventListener('scroll', onScroll, { passive: true })
    return () => removeEventListener('scroll', onScroll)
  }, [store, uploads, top, rowHeight])

  const focus = (id: string) => {
    const index = ids.indexOf(id)
    if (index < 0) return
    activeId.value = id
    focusNext.current = id
    rows.scrollTo(Math.floor(index / columns))
  }
  useEffect(() => {
    if (focusId !== undefined) focus(focusId)
  }, [focusId])
  useLayoutEffect(() => {
    const wanted = focusNext.current ?? (isFocusLost(hasFocus.current) ? activeId.peek() : undefined)
    if (wanted === undefined) return
    const element = body.current?.querySelector<HTMLElement>(`[data-id="${wanted}"]`)
    if (!element) return
    focusNext.current = undefined
    element.focus({ preventScroll: true })
  })

  const onKeyDown = (event: KeyboardEvent) => {
    const id = idOf(event.target) ?? activeId.peek()
    if (id === undefined) return
    if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      selection.selectAll(ids)
    } else if (event.key === 'Enter') {
      onOpen(id)
    } else if (event.key === ' ') {
      if (event.shiftKey) selection.extendTo(id, ids)
      else selection.toggle(id)
    } else {
      const visibleRows = Math.max(1, Math.floor((innerHeight - coveredHeight) / rowHeight) - 1)
      const next = moveFocus(event, { index: ids.indexOf(id), count: ids.length, columns, visibleRows })
      const nextId = next === undefined ? undefined : ids[next]
      if (nextId === undefined) return
      if (event.shiftKey) {
        selection.begin(id)
        selection.extendTo(nextId, ids)
      }
      focus(nextId)
    }
    event.preventDefault()
  }

  const onClick = (event: MouseEvent) => {
    const id = idOf(event.target)
    if (id === undefined) return
    const isMark = event.target instanceof Element && event.target.closest('.check-mark') !== null
    if (event.shiftKey) {
      selection.extendTo(id, ids)
      getSelection()?.removeAllRanges()
    } else if (isMark || event.ctrlKey || event.metaKey) {
      // A click on a label is followed by one on its checkbox.
      if (event.target instanceof HTMLLabelElement) return
      selection.toggle(id)
    } else onOpen(id)
  }

  const selected = selection.ids.value
  const tabStop = activeIndex >= 0 ? activeId.value : ids[firstRow * columns]
  const cellOf = (id: string): CellProps | undefined => {
    const entry = store.entryOf(id).value
    return (
      entry && {
        entry,
        isSelected: selected.has(id),
        isOpen: id === openId,
        isTabStop: id === tabStop,
        file: fileOf?.(id),
      }
    )
  }
  const offsetOf = (start: number) => start - top

  return (
    <div
      class={`collection is-${look}${selected.size > 0 ? ' has-selection' : ''}`}
      role="grid"
      aria-label="Uploads"
      aria-multiselectable="true"
      aria-rowcount={hasMore ? -1 : rowsOfUploads + (look === 'list' ? 1 : 0)}
      aria-colcount={look === 'grid' ? columns : 7}
      aria-busy={status.value.kind === 'loading'}
      onKeyDown={onKeyDown}
      onClick={onClick}
      onFocusIn={({ target }) => {
        hasFocus.current = true
        const id = idOf(target)
        if (id !== undefined) activeId.value = id
      }}
      onFocusOut={({ relatedTarget, target }) => {
        // An element that is removed keeps the focus for the upload that it showed.
        if (relatedTarget !== null || (target instanceof Element && target.isConnected))
          hasFocus.current = false
      }}
    >
      {look === 'list' && <ColumnHeaders />}
      <div
        class="collection-rows"
        role="presentation"
        ref={body}
        style={{ height: `${rows.totalHeight}px`, '--columns': columns, '--picture': `${pictureHeight}px` }}
      >
        {rows.items.map(({ index, start }) => {
          const offset = offsetOf(start)
          if (index >= rowsOfUploads)
            return <Placeholder key={index} look={look} columns={columns} offset={offset} />
          if (look === 'list') {
            const id = ids[index] ?? ''
            return <ListedUpload key={id} cell={() => cellOf(id)} rowIndex={index + 2} offset={offset} />
          }
          return (
            <div
              key={index}
              role="row"
              aria-rowindex={index + 1}
              class="grid-row"
              style={{ transform: `translateY(${offset}px)` }}
            >
              {ids.slice(index * columns, (index + 1) * columns).map((id) => (
                <GridUpload key={id} cell={() => cellOf(id)} />
              ))}
            </div>
          )
        })}
      </div>
    </div>
  )
}

/** Each upload is rendered by itself: a change of one renders no other. */
function GridUpload({ cell }: { cell: () => CellProps | undefined }) {
  const props = cell()
  return props ? <Tile {...props} /> : null
}

function ListedUpload(props: { cell: () => CellProps | undefined; rowIndex: number; offset: number }) {
  const cell = props.cell()
  return cell ? <Row {...cell} rowIndex={props.rowIndex} offset={props.offset} /> : null
}

/** A row of uploads that are being loaded. It has the size of what follows, so that nothing moves. */
function Placeholder({ look, columns, offset }: { look: Look; columns: number; offset: number }) {
  return (
    <div
      class={look === 'grid' ? 'grid-row' : 'list-row'}
      aria-hidden="true"
      style={{ transform: `translateY(${offset}px)` }}
    >
      {Array.from({ length: columns }, (_, column) => (
        <span key={column} class="placeholder" />
      ))}
    </div>
  )
}

function idOf(target: EventTarget | null): string | undefined {
  if (!(target instanceof Element)) return undefined
  const element = target.closest<HTMLElement>('[data-id]')
  return element?.dataset['id']
}

/** Whether the element with the focus was removed. */
function isFocusLost(hadFocus: boolean): boolean {
  return hadFocus && document.activeElement === document.body
}

/** Whether a row is not wholly in the window. @param distance of its upper edge from that of the window, in CSS pixels */
function isOutside(distance: number, height: number): boolean {
  return distance < coveredHeight || distance + height > innerHeight
}
