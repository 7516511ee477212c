import type { Client, components } from '@millrace/client'
import { dataOf } from '@millrace/client'
import { useEffect, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import { CopyButton } from '../design/copy-button.tsx'
import { Dialog, DialogActions } from '../design/dialog.tsx'
import { timeText } from '../format/format-quantities.ts'
import type { Links } from './actions.ts'
import './dialogs.css'

type Preset = components['schemas']['Preset']

/** How many names a question lists. */
const namedUploads = 5

/** Asks before uploads are deleted, and names them. */
export function DeleteDialog(props: { names: readonly string[]; onDelete: () => void; onClose: () => void }) {
  const { names, onDelete, onClose } = props
  const others = names.length - namedUploads
  const count = names.length === 1 ? 'this upload' : `${names.length.toLocaleString()} uploads`
  return (
    <Dialog title={`Delete ${count}?`} onClose={onClose}>
      <ul class="named-uploads">
        {names.slice(0, namedUploads).map((name, index) => (
          // Names can be the same.
          <li key={`${index} ${name}`}>{name}</li>
        ))}
        {others > 0 && <li class="more-uploads">and {others.toLocaleString()} more</li>}
      </ul>
      <p>
        {names.length === 1 ? 'The file and all its variants are' : 'The files and all their variants are'}{' '}
        erased, for good. Links to them stop working.
      </p>
      <DialogActions>
        <Button label="Keep" onClick={onClose} />
        <Button
          label={names.length === 1 ? 'Delete' : `Delete ${names.length.toLocaleString()} uploads`}
          look="danger"
          onClick={() => {
            onClose()
            onDelete()
          }}
        />
      </DialogActions>
    </Dialog>
  )
}

/** Asks which preset uploads are processed with. */
export function ReprocessDialog(props: {
  client: Client
  count: number
  onReprocess: (preset: string | undefined) => void
  onClose: () => void
}) {
  const { client, count, onReprocess, onClose } = props
  const [presets, setPresets] = useState<readonly Preset[]>([])
  const [chosen, setChosen] = useState('')
  useEffect(() => {
    // Without the list, the uploads can still be processed with their own preset.
    client.api.GET('/presets').then(
      (result) => setPresets(dataOf(result).presets),
      () => undefined,
    )
  }, [client])
  const variants = presets.find(({ name }) => name === chosen)?.variants
  return (
    <Dialog
      title={count === 1 ? 'Process this upload again' : `Process ${count} uploads again`}
      onClose={onClose}
    >
      <label class="field">
        <span>Preset</span>
        <select class="input" value={chosen} onChange={({ currentTarget }) => setChosen(currentTarget.value)}>
          <option value="">{count === 1 ? 'The same as before' : 'Of each upload, as before'}</option>
          {presets.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <small>
          {variants === undefined &&
            'A failed upload runs again. Others run again if their preset has changed.'}
          {variants?.length === 0 && 'This preset makes no variants.'}
          {variants && variants.length > 0 && `Makes ${variants.join(', ')}.`}
        </small>
      </label>
      <p>Nothing is served until a worker has finished. New uploads go first.</p>
      <DialogActions>
        <Button label="Cancel" onClick={onClose} />
        <Button
          label="Process again"
          look="primary"
          onClick={() => {
            onClose()
            onReprocess(chosen === '' ? undefined : chosen)
          }}
        />
      </DialogActions>
    </Dialog>
  )
}

/** Shows signed links, to be copied or saved. */
export function LinksDialog({ links, onClose }: { links: Links; onClose: () => void }) {
  const { urls, expiresAt, missing } = links
  const text = urls.join('\n')
  const save = () => {
    const address = URL.createObjectURL(new Blob([`${text}\n`], { type: 'text/plain' }))
    const link = document.createElement('a')
    link.href = address
    link.download = 'millrace-links.txt'
    link.click()
    URL.revokeObjectURL(address)
  }
  return (
    <Dialog title={urls.length === 1 ? 'Download link' : `${urls.length} download links`} onClose={onClose}>
      {missing && <p class="problem">{missing}</p>}
      {urls.length > 0 && (
        <>
          <p>
            Whoever has a link can download the file
            {expiresAt && ` until ${timeText(Date.parse(expiresAt))}`}. The links need no key.
          </p>
          <textarea class="input links" readOnly aria-label="Links" rows={6} value={text} />
          <DialogActions>
            <Button label="Save as text" onClick={save} />
            <CopyButton text={text} what={urls.length === 1 ? 'the link' : 'all links'} iconOnly={false} />
          </DialogActions>
        </>
      )}
    </Dialog>
  )
}
