import { FolderOpen, Play } from 'lucide-preact'
import { Button } from '../design/button.tsx'
import type { Sending } from './sending.ts'

/** Says that an earlier page did not send some files to the end, and offers to go on. */
export function InterruptedNotice({ sending }: { sending: Sending }) {
  const files = sending.files.value.filter(({ phase }) => phase === 'interrupted')
  if (files.length === 0) return null
  const openable = files.filter(({ reopens }) => reopens).map(({ key }) => key)
  const what = files.length === 1 ? '1 file was interrupted.' : `${files.length} files were interrupted.`
  const isTitle = sending.summary.value.title === what.slice(0, -1)
  const it = files.length === 1 ? 'it' : 'them'
  return (
    <div class="tray-notice">
      <p>
        {isTitle ? '' : `${what} `}
        {openable.length === files.length ? '' : `Choose ${it} again to go on. `}
        Only what is missing is sent.
      </p>
      <div class="tray-notice-actions">
        {openable.length > 0 ? (
          <Button label="Go on" icon={Play} onClick={() => void sending.goOn(openable)} />
        ) : (
          <Button
            label={`Choose ${it} again`}
            icon={FolderOpen}
            onClick={() => void sending.choose('files')}
          />
        )}
        <Button
          label={files.length === 1 ? 'Forget' : 'Forget all'}
          look="quiet"
          onClick={sending.forgetAll}
        />
      </div>
    </div>
  )
}
