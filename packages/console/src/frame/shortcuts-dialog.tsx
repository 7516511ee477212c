import { Dialog } from '../design/dialog.tsx'
import type { Shortcuts } from './shortcuts.ts'
import './shortcuts-dialog.css'

/** Lists the keyboard shortcuts of the page that is shown. */
export function ShortcutsDialog({ shortcuts, onClose }: { shortcuts: Shortcuts; onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl class="shortcuts">
        {shortcuts.list.value.map(({ keys, label }) => (
          <div key={keys}>
            <dt>{label}</dt>
            <dd>
              {keys.split(' ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
