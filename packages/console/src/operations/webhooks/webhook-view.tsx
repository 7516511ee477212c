import { Pencil, RefreshCw, Send, Trash2 } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { useLocation } from 'wouter-preact'
import { Badge } from '../../design/badge.tsx'
import { Button } from '../../design/button.tsx'
import { Dialog, DialogActions } from '../../design/dialog.tsx'
import { Explained } from '../../design/explained.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { timeText } from '../../format/format-quantities.ts'
import { ConfirmDialog } from '../confirm-dialog.tsx'
import type { Operations } from '../operations.ts'
import { Deliveries } from './deliveries.tsx'
import { WebhookDialog, WebhookSecret } from './webhook-dialog.tsx'
import { shortType, type Webhook, WebhookState } from './webhook-state.tsx'

type Open = 'edit' | 'rotate' | 'delete' | { secret: string }

/** One webhook: what it gets, its secrets, and its deliveries. */
export function WebhookView(props: {
  webhook: Webhook
  operations: Operations
  toasts: Toasts
  onChanged: () => void
}) {
  const { webhook, operations, toasts, onChanged } = props
  const { api, send, sendOnly } = operations
  const { id, url, description, enabled, disabledReason, events, secrets } = webhook
  const [, navigate] = useLocation()
  const [open, setOpen] = useState<Open>()
  const [tests, setTests] = useState(0)
  const params = { path: { id } }
  const close = () => setOpen(undefined)
  const setEnabled = (next: boolean) =>
    send(api.PATCH('/webhooks/{id}', { params, body: { enabled: next } })).then(onChanged, (error) =>
      toasts.tellFailure('The webhook could not be changed', error),
    )
  const test = () =>
    send(api.POST('/webhooks/{id}/test', { params })).then(
      () => setTests(tests + 1),
      (error) => toasts.tellFailure('The test could not be sent', error),
    )
  const rotate = async () => {
    const { secret } = await send(api.POST('/webhooks/{id}/rotate-secret', { params, body: {} }))
    setOpen({ secret })
    onChanged()
  }
  const remove = async () => {
    await sendOnly(api.DELETE('/webhooks/{id}', { params }))
    toasts.tell('The webhook is deleted.')
    navigate('/console/webhooks')
  }
  return (
    <>
      <section class="panel" aria-labelledby="webhook-heading">
        <div class="panel-header">
          <div class="panel-title">
            <h2 id="webhook-heading">{url}</h2>
            {description && <p class="cell-note">{description}</p>}
          </div>
          <div class="page-actions">
            <Button label="Send test" icon={Send} onClick={() => void test()} />
            <Button label="Change" icon={Pencil} onClick={() => setOpen('edit')} />
            <Button
              label="Delete webhook"
              icon={Trash2}
              look="quiet"
              iconOnly
              onClick={() => setOpen('delete')}
            />
          </div>
        </div>
        <dl class="facts-list">
          <div>
            <dt>State</dt>
            <dd class="cell-title">
              <WebhookState webhook={webhook} />
              <Button
                label={enabled ? 'Disable' : 'Enable'}
                look="quiet"
                onClick={() => void setEnabled(!enabled)}
              />
              {disabledReason && <span class="cell-note">{disabledReason}</span>}
            </dd>
          </div>
          <div>
            <dt>Events</dt>
            <dd class="badges">
              {events.map((type) => (
                <Badge key={type} text={shortType(type)} />
              ))}
            </dd>
          </div>
          <div>
            <dt>
              <Explained word="Secret">
                Your backend verifies each request with it. After a rotation, both secrets sign for a day, so
                that nothing is refused meanwhile.
              </Explained>
            </dt>
            <dd class="cell-title">
              <span>
                {secrets.map(({ createdAt, endsAt }) => (
                  <span key={createdAt} class="secret-line">
                    since {timeText(Date.parse(createdAt))}
                    {endsAt !== undefined && `, until ${timeText(Date.parse(endsAt))}`}
                  </span>
                ))}
              </span>
              <Button label="Rotate" icon={RefreshCw} look="quiet" onClick={() => setOpen('rotate')} />
            </dd>
          </div>
        </dl>
      </section>
      <Deliveries key={tests} webhookId={id} operations={operations} toasts={toasts} />
      {open === 'edit' && (
        <WebhookDialog operations={operations} webhook={webhook} onSaved={onChanged} onClose={close} />
      )}
      {open === 'rotate' && (
        <ConfirmDialog
          title="Rotate the secret?"
          action="Rotate secret"
          onConfirm={rotate}
          onClose={() => setOpen((current) => (current === 'rotate' ? undefined : current))}
        >
          <p>
            A new secret is made and shown once. The present one stays valid for a while, beside the new one.
          </p>
        </ConfirmDialog>
      )}
      {open === 'delete' && (
        <ConfirmDialog
          title="Delete this webhook?"
          action="Delete webhook"
          onConfirm={remove}
          onClose={close}
        >
          <p>
            <strong>{url}</strong> gets no more events, and its log of deliveries is deleted.
          </p>
        </ConfirmDialog>
      )}
      {typeof open === 'object' && (
        <Dialog title="Secret rotated" onClose={close}>
          <WebhookSecret secret={open.secret} />
          <DialogActions>
            <Button label="Done" look="primary" onClick={close} />
          </DialogActions>
        </Dialog>
      )}
    </>
  )
}
