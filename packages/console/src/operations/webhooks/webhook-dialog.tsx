import type { components } from '@millrace/client'
import { useId, useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { Dialog, DialogActions } from '../../design/dialog.tsx'
import '../../design/field.css'
import type { Operations } from '../operations.ts'
import { ShownOnce } from '../shown-once.tsx'
import { useForm } from '../use-form.ts'

type EventType = components['schemas']['WebhookEventType']
type Webhook = components['schemas']['Webhook']

const eventTypes: readonly { type: EventType; note: string }[] = [
  { type: 'upload.received', note: 'the file has arrived' },
  { type: 'upload.ready', note: 'it passed inspection, and its variants exist' },
  { type: 'upload.rejected', note: 'the file is at fault' },
  { type: 'upload.failed', note: 'processing failed, and can be retried' },
  { type: 'upload.deleted', note: 'it was erased' },
]

/**
 * Adds a webhook, and shows its secret once; or changes one.
 *
 * @param props.webhook the one to change; undefined: a new one
 */
export function WebhookDialog(props: {
  operations: Operations
  webhook?: Webhook
  onSaved: () => void
  onClose: () => void
}) {
  const { operations, webhook, onSaved, onClose } = props
  const { api, send } = operations
  const [url, setUrl] = useState(webhook?.url ?? '')
  const [description, setDescription] = useState(webhook?.description ?? '')
  const [events, setEvents] = useState<readonly EventType[]>(
    webhook?.events ?? ['upload.ready', 'upload.rejected', 'upload.failed'],
  )
  const [secret, setSecret] = useState<string>()
  const ids = { url: useId(), description: useId() }
  const { submit, problem, isWrong, isBusy } = useForm(async () => {
    const body = { url, description, events: [...events] }
    if (webhook) {
      await send(api.PATCH('/webhooks/{id}', { params: { path: { id: webhook.id } }, body }))
      onSaved()
      onClose()
    } else {
      setSecret((await send(api.POST('/webhooks', { body }))).secret)
      onSaved()
    }
  })
  if (secret !== undefined) {
    return (
      <Dialog title="Webhook added" onClose={onClose}>
        <WebhookSecret secret={secret} />
        <DialogActions>
          <Button label="Done" look="primary" onClick={onClose} />
        </DialogActions>
      </Dialog>
    )
  }
  const toggle = (type: EventType) =>
    setEvents(events.includes(type) ? events.filter((other) => other !== type) : [...events, type])
  return (
    <Dialog title={webhook ? 'Change webhook' : 'Add webhook'} onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <div class="field">
          <label for={ids.url}>Address of your backend</label>
          <input
            id={ids.url}
            class="input"
            type="url"
            required
            placeholder="https://app.example.com/hooks/millrace"
            value={url}
            aria-invalid={isWrong('url')}
            onInput={({ currentTarget }) => setUrl(currentTarget.value)}
          />
        </div>
        <div class="field">
          <label for={ids.description}>Description</label>
          <input
            id={ids.description}
            class="input"
            maxLength={256}
            placeholder="optional"
            value={description}
            onInput={({ currentTarget }) => setDescription(currentTarget.value)}
          />
        </div>
        <fieldset class="field">
          <legend>Events</legend>
          {eventTypes.map(({ type, note }) => (
            <label key={type} class="choice">
              <input type="checkbox" checked={events.includes(type)} onChange={() => toggle(type)} />
              <span>
                <code>{type}</code> <small>{note}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <p class="problem" role="alert">
          {problem}
        </p>
        <DialogActions>
          <Button label="Cancel" onClick={onClose} />
          <Button
            label={webhook ? 'Save' : 'Add webhook'}
            look="primary"
            submits
            disabled={isBusy || events.length === 0}
          />
        </DialogActions>
      </form>
    </Dialog>
  )
}

/** The secret of a webhook, which is shown only once. */
export function WebhookSecret({ secret }: { secret: string }) {
  return (
    <ShownOnce secret={secret} what="the secret">
      Give this secret to your backend: it verifies that requests come from Millrace (Standard Webhooks). It
      is not shown again.
    </ShownOnce>
  )
}
