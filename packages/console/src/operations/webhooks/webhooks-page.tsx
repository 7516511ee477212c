import { Plus, Webhook as WebhookIcon } from 'lucide-preact'
import { useCallback, useState } from 'preact/hooks'
import { Link, useSearchParams } from 'wouter-preact'
import { Badge } from '../../design/badge.tsx'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import '../../design/table.css'
import type { Toasts } from '../../design/toasts.tsx'
import { PageHeader } from '../../frame/page-header.tsx'
import { LoadState } from '../load-state.tsx'
import { NeedsScope } from '../needs-scope.tsx'
import type { Operations } from '../operations.ts'
import '../operations.css'
import { useLoaded } from '../use-loaded.ts'
import { WebhookDialog } from './webhook-dialog.tsx'
import { shortType, type Webhook, WebhookState } from './webhook-state.tsx'
import { WebhookView } from './webhook-view.tsx'

type Context = { operations: Operations; toasts: Toasts }

/** Where the tenant's events are sent. One webhook is shown if the address names it: `?webhook=wh_…`. */
export function WebhooksPage(context: Context) {
  const { operations } = context
  const { identity } = operations
  const [isAdding, setIsAdding] = useState(false)
  const [parameters] = useSearchParams()
  const shownId = parameters.get('webhook')
  return (
    <>
      <PageHeader title="Webhooks" note="Your backend is told what became of each upload.">
        {identity.may('tenant') && shownId === null && (
          <Button label="Add webhook" icon={Plus} look="primary" onClick={() => setIsAdding(true)} />
        )}
      </PageHeader>
      <NeedsScope identity={identity} scope="tenant" purpose="manage webhooks">
        {shownId === null ? (
          <WebhookList {...context} isAdding={isAdding} onClose={() => setIsAdding(false)} />
        ) : (
          <ShownWebhook key={shownId} id={shownId} {...context} />
        )}
      </NeedsScope>
    </>
  )
}

function WebhookList(props: Context & { isAdding: boolean; onClose: () => void }) {
  const { operations, isAdding, onClose } = props
  const load = useCallback(
    async () => (await operations.send(operations.api.GET('/webhooks'))).webhooks,
    [operations],
  )
  const loaded = useLoaded(load)
  return (
    <>
      <LoadState loaded={loaded} what="The webhooks">
        {(webhooks) => (webhooks.length === 0 ? <NoWebhooks /> : <WebhookTable webhooks={webhooks} />)}
      </LoadState>
      {isAdding && (
        <WebhookDialog operations={operations} onSaved={() => void loaded.reload()} onClose={onClose} />
      )}
    </>
  )
}

function NoWebhooks() {
  return (
    <EmptyState icon={WebhookIcon} title="No webhooks yet">
      <p>
        Add the address of your backend. It gets a signed request for each event, in order for each upload,
        and again until it answers.
      </p>
    </EmptyState>
  )
}

function WebhookTable({ webhooks }: { webhooks: readonly Webhook[] }) {
  return (
    <div class="table-frame">
      <table class="table">
        <caption class="visually-hidden">Webhooks</caption>
        <thead>
          <tr>
            <th scope="col">Webhook</th>
            <th scope="col" class="is-wide">
              Events
            </th>
            <th scope="col">State</th>
          </tr>
        </thead>
        <tbody>
          {webhooks.map((webhook) => (
            <tr key={webhook.id}>
              <th scope="row" class="main-cell">
                <div class="cell-title">
                  <Link href={`/console/webhooks?webhook=${webhook.id}`}>{webhook.url}</Link>
                </div>
                {webhook.description && <div class="cell-note">{webhook.description}</div>}
                <div class="cell-note only-narrow">{webhook.events.map(shortType).join(', ')}</div>
              </th>
              <td class="is-wide">
                <span class="badges">
                  {webhook.events.map((type) => (
                    <Badge key={type} text={shortType(type)} />
                  ))}
                </span>
              </td>
              <td>
                <WebhookState webhook={webhook} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function ShownWebhook({ id, operations, toasts }: Context & { id: string }) {
  const load = useCallback(
    () => operations.send(operations.api.GET('/webhooks/{id}', { params: { path: { id } } })),
    [operations, id],
  )
  const loaded = useLoaded(load)
  return (
    <>
      <p class="back-link">
        <Link href="/console/webhooks">All webhooks</Link>
      </p>
      <LoadState loaded={loaded} what="The webhook">
        {(webhook) => (
          <WebhookView
            webhook={webhook}
            operations={operations}
            toasts={toasts}
            onChanged={() => void loaded.reload()}
          />
        )}
      </LoadState>
    </>
  )
}
