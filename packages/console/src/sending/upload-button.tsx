import { Camera, ChevronDown, File as FileIcon, FolderUp, type LucideIcon, Upload } from 'lucide-preact'
import { useId, useRef } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import type { Source } from './choose-files.ts'
import type { Sending } from './sending.ts'
import './upload-button.css'

const sources: { source: Source; label: string; icon: LucideIcon }[] = [
  { source: 'files', label: 'Files', icon: FileIcon },
  { source: 'folder', label: 'Folder', icon: FolderUp },
  { source: 'camera', label: 'Camera', icon: Camera },
]

/** Devices with a camera application: elsewhere browsers show the files' dialog instead. */
const handheld = '(pointer: coarse)'

/** Chooses files to upload; with a menu of the other ways. */
export function UploadButton({ sending }: { sending: Sending }) {
  const id = useId()
  const menu = useRef<HTMLDivElement>(null)
  const offered = sources.filter(({ source }) => source !== 'camera' || matchMedia(handheld).matches)
  const choose = (source: Source) => {
    menu.current?.hidePopover()
    void sending.choose(source)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const items = [...(menu.current?.querySelectorAll('button') ?? [])]
    if (step === undefined || items.length === 0) return
    event.preventDefault()
    const index = items.findIndex((item) => item.matches(':focus'))
    items[(index + step + items.length) % items.length]?.focus()
  }
  return (
    <div class="upload-button">
      <Button label="Upload" icon={Upload} look="primary" shortcut="u" onClick={() => choose('files')} />
      <button
        type="button"
        class="button is-primary is-icon"
        aria-label="More ways to upload"
        title="More ways to upload"
        aria-haspopup="menu"
        popovertarget={id}
      >
        <ChevronDown aria-hidden="true" />
      </button>
      <div
        id={id}
        ref={menu}
        popover="auto"
        role="menu"
        aria-label="Upload"
        class="upload-menu"
        onToggle={({ newState }) => {
          if (newState === 'open') menu.current?.querySelector('button')?.focus()
        }}
        onKeyDown={onKeyDown}
      >
        {offered.map(({ source, label, icon: Icon }) => (
          <button key={source} type="button" role="menuitem" tabIndex={-1} onClick={() => choose(source)}>
            <Icon aria-hidden="true" />
            {label}
          </button>
        ))}
      </div>
    </div>
  )
}
