import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Previews } from './previews.ts'
import type { Sending } from './sending.ts'
import { isProcessed, type SendingFile } from './sending-file.ts'
import { SendingRow } from './sending-row.tsx'

/** Height of a row, as in sending-tray.css, in px. */
const rowHeight = 68
/** Rows beyond the visible ones that are rendered, so that scrolling shows no gaps. */
const spareRows = 4

/** The files as a list. Only the rows that can be seen are rendered: there may be thousands. */
export function SendingRows(props: { files: readonly SendingFile[]; sending: Sending; previews: Previews }) {
  const rows = inOrder(props.files)
  const frame = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 0 })
  const measure = () => {
    const { scrollTop: top = 0, clientHeight: height = 0 } = frame.current ?? {}
    setView((current) => (current.top === top && current.height === height ? current : { top, height }))
  }
  useLayoutEffect(measure, [rows.length])
  useEffect(() => {
    const observer = new ResizeObserver(measure)
    if (frame.current) observer.observe(frame.current)
    return () => observer.disconnect()
  }, [])
  const first = Math.max(0, Math.floor(view.top / rowHeight) - spareRows)
  const last = Math.ceil((view.top + view.height) / rowHeight) + spareRows
  return (
    // A region that scrolls must be reachable by keyboard.
    <div class="sending-rows" ref={frame} onScroll={measure} tabIndex={-1}>
      <ul aria-label="Files being sent" style={{ height: `${rows.length * rowHeight}px` }}>
        {rows.slice(first, last).map((file, index) => (
          <li
            key={file.key}
            class="sending-row"
            aria-label={file.filename}
            aria-setsize={rows.length}
            aria-posinset={first + index + 1}
            style={{ top: `${(first + index) * rowHeight}px` }}
          >
            <SendingRow file={file} sending={props.sending} previews={props.previews} />
          </li>
        ))}
      </ul>
    </div>
  )
}

/**
 * What is not sent yet is first, and what is done last. Within these, the order of adding stays: a row does not jump when
 * somebody pauses or cancels it.
 */
function inOrder(files: readonly SendingFile[]): SendingFile[] {
  const isReady = ({ phase }: SendingFile) => phase === 'ready'
  return [
    ...files.filter((file) => !isProcessed(file) && !isReady(file)),
    ...files.filter(isProcessed),
    ...files.filter(isReady),
  ]
}
