import type { Client, Upload } from '@millrace/client'
import { Plus, X } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { Dialog, DialogActions } from '../../design/dialog.tsx'
import '../../design/field.css'
import { reasonOf } from '../store/bulk.ts'
import { changedMetadata, type Field } from './changed-metadata.ts'

/** Changes the filename and the metadata of an upload. */
export function EditDialog(props: {
  upload: Upload
  client: Client
  onSaved: (upload: Upload) => void
  onClose: () => void
}) {
  const { upload, client, onSaved, onClose } = props
  const [filename, setFilename] = useState(upload.filename)
  const [fields, setFields] = useState<readonly Field[]>(
    Object.entries(upload.metadata ?? {}).map(([name, value], key) => ({ key, name, value })),
  )
  const [isSaving, setIsSaving] = useState(false)
  const [problem, setProblem] = useState('')
  const setField = (key: number, change: Partial<Field>) =>
    setFields(fields.map((field) => (field.key === key ? { ...field, ...change } : field)))
  const save = async () => {
    setIsSaving(true)
    setProblem('')
    try {
      const metadata = changedMetadata(upload.metadata ?? {}, fields)
      onSaved(
        await client.edit(upload.id, {
          ...(filename !== upload.filename && { filename }),
          ...(Object.keys(metadata).length > 0 && { metadata }),
        }),
      )
      onClose()
    } catch (error) {
      setProblem(reasonOf(error))
      setIsSaving(false)
    }
  }
  return (
    <Dialog title="Edit upload" onClose={onClose}>
      <form
        class="edit-form"
        onSubmit={(event) => {
          event.preventDefault()
          if (!isSaving) save()
        }}
      >
        <label class="field">
          <span>Filename</span>
          <input
            class="input"
            value={filename}
            required
            autocomplete="off"
            onInput={({ currentTarget }) => setFilename(currentTarget.value)}
          />
        </label>
        <fieldset class="field">
          <legend>Metadata</legend>
          {fields.map(({ key, name, value }) => (
            <div key={key} class="metadata-field">
              <input
                class="input"
                aria-label="Name"
                placeholder="Name"
                value={name}
                onInput={({ currentTarget }) => setField(key, { name: currentTarget.value })}
              />
              <input
                class="input"
                aria-label={`Value of ${name || 'the field'}`}
                placeholder="Value"
                value={value}
                onInput={({ currentTarget }) => setField(key, { value: currentTarget.value })}
              />
              <Button
                label={`Remove ${name || 'the field'}`}
                icon={X}
                look="quiet"
                iconOnly
                onClick={() => setFields(fields.filter((field) => field.key !== key))}
              />
            </div>
          ))}
          <Button
            label="Add a field"
            icon={Plus}
            look="quiet"
            onClick={() =>
              setFields([
                ...fields,
                { key: Math.max(-1, ...fields.map(({ key }) => key)) + 1, name: '', value: '' },
              ])
            }
          />
        </fieldset>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <DialogActions>
          <Button label="Cancel" onClick={onClose} />
          <button type="submit" class="button is-primary" aria-disabled={isSaving}>
            {isSaving ? 'Saving…' : 'Save'}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
