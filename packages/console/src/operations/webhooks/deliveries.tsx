import type { components } from '@millrace/client'
import { ChevronRight, RotateCw, Send } from 'lucide-preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import { Badge, type Tone } from '../../design/badge.tsx'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { durationText, timeText } from '../../format/format-quantities.ts'
import { LoadState } from '../load-state.tsx'
import type { Operations } from '../operations.ts'
import { useLoaded } from '../use-loaded.ts'
import { shortType } from './webhook-state.tsx'

type Delivery = components['schemas']['Delivery']

/** How often the log is loaded while a delivery has not ended, in ms. */
const pollMs = 2_000
const pageSize = 50

const badges: Record<Delivery['state'], { text: string; tone: Tone }> = {
  pending: { text: 'Pending', tone: 'busy' },
  delivered: { text: 'Delivered', tone: 'good' },
  failed: { text: 'Failed', tone: 'bad' },
}
const reasons: Record<string, string> = {
  address_refused: 'the address is not public',
  dns_unavailable: 'the name could not be resolved',
  timeout: 'no response in time',
  connection_failed: 'no connection',
}

/** The log of a webhook's deliveries, newest first. Each can be opened, and sent again. */
export function Deliveries(props: { webhookId: string; operations: Operations; toasts: Toasts }) {
  const { webhookId: id, operations, toasts } = props
  const { api, send } = operations
  const load = useCallback(async () => {
    const query = { limit: pageSize }
    return (await send(api.GET('/webhooks/{id}/deliveries', { params: { path: { id }, query } }))).deliveries
  }, [api, send, id])
  const loaded = useLoaded(load)
  const isPending = loaded.data?.some(({ state }) => state === 'pending') ?? false
  useEffect(() => {
    if (!isPending || loaded.isLoading) return
    const timer = setTimeout(() => {
      if (!document.hidden) void loaded.reload()
    }, pollMs)
    return () => clearTimeout(timer)
  }, [isPending, loaded.isLoading, loaded.reload])
  const replay = (deliveryId: string) =>
    send(
      api.POST('/webhooks/{id}/deliveries/{deliveryId}/replay', { params: { path: { id, deliveryId } } }),
    ).then(
      () => {
        toasts.tell('The event is sent again.')
        void loaded.reload()
      },
      (error) => toasts.tellFailure('The event could not be sent again', error),
    )
  return (
    <section aria-labelledby="deliveries-heading">
      <div class="section-header">
        <h2 id="deliveries-heading">Deliveries</h2>
        <Button
          label="Load again"
          icon={RotateCw}
          look="quiet"
          iconOnly
          onClick={() => void loaded.reload()}
        />
      </div>
      <LoadState loaded={loaded} what="The deliveries">
        {(deliveries) =>
          deliveries.length === 0 ? (
            <EmptyState icon={Send} title="Nothing was sent yet">
              <p>
                Send a test, or upload a file. The last 200 deliveries of the last 7 days are listed here.
              </p>
            </EmptyState>
          ) : (
            <div class="table-frame">
              <table class="table">
                <caption class="visually-hidden">Deliveries, newest first</caption>
                <thead>
                  <tr>
                    <th scope="col">Event</th>
                    <th scope="col">State</th>
                    <th scope="col" class="is-wide">
                      Response
                    </th>
                    <th scope="col" class="is-wide number-cell">
                      Attempts
                    </th>
                  </tr>
                </thead>
                {deliveries.map((delivery) => (
                  <DeliveryRows key={delivery.id} delivery={delivery} onReplay={replay} />
                ))}
              </table>
            </div>
          )
        }
      </LoadState>
    </section>
  )
}

function DeliveryRows(props: { delivery: Delivery; onReplay: (id: string) => void }) {
  const { delivery, onReplay } = props
  const { id, type, kind, state, attempt, createdAt } = delivery
  const [isOpen, setIsOpen] = useState(false)
  return (
    <tbody>
      <tr>
        <th scope="row" class="main-cell">
          <button type="button" class="disclosure" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
            <ChevronRight aria-hidden="true" />
            {shortType(type)}
            {kind !== 'event' && <Badge text={kind === 'test' ? 'Test' : 'Sent again'} />}
            <time class="cell-note" dateTime={createdAt}>
              {timeText(Date.parse(createdAt))}
            </time>
          </button>
        </th>
        <td>
          <Badge {...badges[state]} />
        </td>
        <td class="is-wide">{responseOf(delivery)}</td>
        <td class="is-wide number-cell">{attempt}</td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={4} class="detail-cell">
            <DeliveryDetails delivery={delivery} />
            <Button label="Send again" icon={RotateCw} onClick={() => onReplay(id)} />
          </td>
        </tr>
      )}
    </tbody>
  )
}

function DeliveryDetails({ delivery }: { delivery: Delivery }) {
  const { id, eventId, uploadId, attempt, at, nextAttemptAt, excerpt } = delivery
  return (
    <dl class="facts-list">
      <div>
        <dt>Response</dt>
        <dd>{responseOf(delivery)}</dd>
      </div>
      <div>
        <dt>Attempts</dt>
        <dd>
          {attempt}
          {at !== undefined && `, the last one at ${timeText(Date.parse(at))}`}
          {nextAttemptAt !== undefined && `, the next one at ${timeText(Date.parse(nextAttemptAt))} or later`}
        </dd>
      </div>
      {excerpt && (
        <div>
          <dt>Body</dt>
          <dd>
            <pre class="excerpt">{excerpt}</pre>
          </dd>
        </div>
      )}
      <div>
        <dt>Upload</dt>
        <dd>
          <code>{uploadId}</code>
        </dd>
      </div>
      <div>
        <dt>Event</dt>
        <dd>
          <code>{eventId}</code>
        </dd>
      </div>
      <div>
        <dt>Delivery</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </div>
    </dl>
  )
}

function responseOf({ status, error, ms }: Delivery): string {
  const took = ms === undefined ? '' : ` after ${durationText(ms)}`
  if (status !== undefined) return `${status}${took}`
  if (error !== undefined) return `${reasons[error] ?? error}${took}`
  return 'none yet'
}
