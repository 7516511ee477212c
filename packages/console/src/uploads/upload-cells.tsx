// biome-ignore-all lint/a11y/useSemanticElements: the rows of a virtual list are positioned, which those of a table cannot be.
// biome-ignore-all lint/a11y/useFocusableInteractive: one element of the grid is focusable at a time (roving tabindex).

import type { Upload } from '@millrace/client'
import type { ComponentChildren } from 'preact'
import { Badge } from '../design/badge.tsx'
import { pixelsText, sizeText, timeText } from '../format/format-quantities.ts'
import { mediaTypeOf, typeWord } from './media-kind.ts'
import { Picture } from './picture.tsx'
import type { Entry } from './store/upload-store.ts'
import { describeProgress, stateWords } from './upload-state.ts'

/** What a place in the list needs of an upload, besides the upload itself. */
export type CellProps = {
  entry: Entry
  isSelected: boolean
  /** Whether the side panel shows it. */
  isOpen: boolean
  /** Whether Tab leads to it. */
  isTabStop: boolean
  file: File | undefined
}

/** How wide and high pictures of the grid and of the list are at least, in pixels. */
const tilePixels = 180
const rowPixels = 80

/** An upload of the grid: a picture above its name. */
export function Tile({ entry, isSelected, isOpen, isTabStop, file }: CellProps) {
  const { upload } = entry
  return (
    <div
      role="gridcell"
      class={`tile${isSelected ? ' is-selected' : ''}${isOpen ? ' is-open' : ''}`}
      aria-selected={isSelected}
      tabIndex={isTabStop ? 0 : -1}
      data-id={upload.id}
    >
      <span class="tile-picture">
        <Picture upload={upload} minPixels={tilePixels} file={file} />
        <CheckMark name={upload.filename} isSelected={isSelected} />
        <ProcessingBar entry={entry} />
      </span>
      <span class="tile-name" title={upload.filename}>
        {upload.filename}
      </span>
      <span class="tile-facts">
        {upload.state === 'ready' ? factsText(upload) : <StateBadge upload={upload} />}
      </span>
    </div>
  )
}

/** An upload of the list: a row of a table. */
export function Row({ entry, isSelected, isOpen, isTabStop, file, ...row }: CellProps & RowPlace) {
  const { upload } = entry
  return (
    <div
      role="row"
      class={`list-row${isSelected ? ' is-selected' : ''}${isOpen ? ' is-open' : ''}`}
      aria-selected={isSelected}
      aria-rowindex={row.rowIndex}
      tabIndex={isTabStop ? 0 : -1}
      data-id={upload.id}
      style={{ transform: `translateY(${row.offset}px)` }}
    >
      <Cell>
        <CheckMark name={upload.filename} isSelected={isSelected} />
      </Cell>
      <Cell class="list-name">
        <span class="list-picture">
          <Picture upload={upload} minPixels={rowPixels} file={file} />
        </span>
        <span class="list-text">
          <span class="list-filename" title={upload.filename}>
            {upload.filename}
          </span>
          <span class="list-small">{factsText(upload)}</span>
        </span>
      </Cell>
      <Cell class="list-state">
        {upload.state === 'ready' ? <span class="list-ready">Ready</span> : <StateBadge upload={upload} />}
        <ProcessingBar entry={entry} />
      </Cell>
      <Cell class="list-number">{sizeText(upload.size)}</Cell>
      <Cell class="list-number list-extra">
        {upload.width && upload.height ? pixelsText(upload.width, upload.height) : '–'}
      </Cell>
      <Cell class="list-extra">{typeWord(mediaTypeOf(upload))}</Cell>
      <Cell class="list-time">
        <time dateTime={upload.createdAt}>{timeText(Date.parse(upload.createdAt))}</time>
      </Cell>
    </div>
  )
}

/** Where a row of the list stands: its index from 1, and its distance from the first row in CSS pixels. */
export type RowPlace = { rowIndex: number; offset: number }

function Cell({ class: name = '', children }: { class?: string; children: ComponentChildren }) {
  return (
    <span role="gridcell" class={name}>
      {children}
    </span>
  )
}

/** The names of the list's columns. */
export function ColumnHeaders() {
  return (
    <div role="row" class="list-head" aria-rowindex={1}>
      <span role="columnheader">
        <span class="visually-hidden">Selected</span>
      </span>
      <span role="columnheader">Name</span>
      <span role="columnheader" class="list-state">
        State
      </span>
      <span role="columnheader" class="list-number">
        Size
      </span>
      <span role="columnheader" class="list-number list-extra">
        Pixels
      </span>
      <span role="columnheader" class="list-extra">
        Type
      </span>
      <span role="columnheader" class="list-time">
        Added
      </span>
    </div>
  )
}

export function StateBadge({ upload: { state, error } }: { upload: Upload }) {
  const { word, tone, meaning } = stateWords[state]
  return (
    <span title={error?.message ?? meaning}>
      <Badge text={word} tone={tone} />
    </span>
  )
}

/** How far the processing is. */
function ProcessingBar({ entry: { upload, progress } }: { entry: Entry }) {
  if (upload.state !== 'processing') return null
  const { text, done } = describeProgress(progress)
  return <progress class="processing-bar" aria-label={text} {...(done !== undefined && { value: done })} />
}

/** The keyboard selects with Space, so Tab does not stop here. */
function CheckMark({ name, isSelected }: { name: string; isSelected: boolean }) {
  return (
    <label class="check-mark">
      <input type="checkbox" checked={isSelected} tabIndex={-1} aria-label={`Select ${name}`} />
    </label>
  )
}

function factsText(upload: Upload): string {
  const { width, height, size } = upload
  const type = typeWord(mediaTypeOf(upload))
  const facts = [sizeText(size), width && height ? pixelsText(width, height) : type]
  return facts.join(' · ')
}
