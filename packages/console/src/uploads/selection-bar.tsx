import { Link2, RotateCw, Trash2, X } from 'lucide-preact'
import { Button } from '../design/button.tsx'
import type { Acting } from './actions.ts'

/** What can be done with the uploads that are selected. It takes the place of search and filters, except on phones. */
export function SelectionBar(props: {
  selected: number
  loaded: number
  acting: Acting | undefined
  /** Whether these are the reader's own uploads. Those of other users can be seen only. */
  isOwn: boolean
  onAll: () => void
  onNone: () => void
  onReprocess: () => void
  onLinks: () => void
  onDelete: () => void
}) {
  const { selected, loaded, acting } = props
  if (acting) {
    const { label, done, total } = acting
    return (
      <div class="selection-bar">
        <span class="selection-count">{`${label} ${done} of ${total}`}</span>
        <progress aria-label={label} value={done} max={total} />
      </div>
    )
  }
  return (
    <div class="selection-bar" role="toolbar" aria-label="Selected uploads">
      <Button
        label="Clear selection"
        icon={X}
        look="quiet"
        iconOnly
        shortcut="Escape"
        onClick={props.onNone}
      />
      <span class="selection-count">{selected} selected</span>
      {selected < loaded && (
        <Button label={`Select all ${loaded.toLocaleString()} loaded`} look="quiet" onClick={props.onAll} />
      )}
      {!props.isOwn && <span class="selection-actions">Uploads of other users can only be seen.</span>}
      {props.isOwn && (
        <span class="selection-actions">
          <Button label="Links" icon={Link2} onClick={props.onLinks} />
          <Button label="Process again" icon={RotateCw} onClick={props.onReprocess} />
          <Button label="Delete" icon={Trash2} look="danger" shortcut="Delete" onClick={props.onDelete} />
        </span>
      )}
    </div>
  )
}
