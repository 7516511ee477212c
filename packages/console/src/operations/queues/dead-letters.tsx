import { ApiProblem, type components } from '@millrace/client'
import { CircleCheck, RotateCw } from 'lucide-preact'
import { useCallback, useState } from 'preact/hooks'
import { Badge } from '../../design/badge.tsx'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import { Explained } from '../../design/explained.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { timeText } from '../../format/format-quantities.ts'
import { LoadState } from '../load-state.tsx'
import type { Operations } from '../operations.ts'
import { useLoaded } from '../use-loaded.ts'

type DeadLetter = components['schemas']['DeadLetter']
type Found = components['schemas']['DeadLetterList'] | 'forbidden' | 'not-configured'

/** S3's events that no worker could handle, with their reasons. They can be sent to the workers again. */
export function DeadLetters({ operations, toasts }: { operations: Operations; toasts: Toasts }) {
  const { api, send, identity } = operations
  const load = useCallback(async (): Promise<Found> => {
    await identity.open()
    try {
      return await send(api.GET('/admin/dead-letters', { params: { query: { limit: 50 } } }))
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error
      if (error.code === 'unauthenticated' || error.code === 'forbidden') return 'forbidden'
      if (error.code === 'not_configured') return 'not-configured'
      throw error
    }
  }, [api, send, identity])
  const loaded = useLoaded(load)
  const [isMoving, setIsMoving] = useState(false)
  const redrive = async () => {
    setIsMoving(true)
    try {
      let total = 0
      for (;;) {
        const { moved, count } = await send(api.POST('/admin/dead-letters/redrive', { body: {} }))
        total += moved
        if (count === 0 || moved === 0) break
      }
      toasts.tell(total === 1 ? 'One event was sent again.' : `${total} events were sent again.`)
      await loaded.reload()
    } catch (error) {
      toasts.tellFailure('The events could not be sent again', error)
    } finally {
      setIsMoving(false)
    }
  }
  const hasSome = typeof loaded.data === 'object' && loaded.data.count > 0
  return (
    <section aria-labelledby="dead-letters-heading">
      <div class="section-header">
        <h2 id="dead-letters-heading">
          <Explained word="Dead letters">
            Events of S3 that workers received again and again without being able to handle them. Sent again,
            workers try them for about an hour more.
          </Explained>
        </h2>
        <div class="page-actions">
          {hasSome && (
            <Button
              label={isMoving ? 'Sending…' : 'Send all again'}
              icon={RotateCw}
              disabled={isMoving}
              onClick={() => void redrive()}
            />
          )}
          <Button
            label="Load dead letters again"
            icon={RotateCw}
            look="quiet"
            iconOnly
            onClick={() => void loaded.reload()}
          />
        </div>
      </div>
      <LoadState loaded={loaded} what="The dead letters">
        {(found) => {
          if (found === 'forbidden') {
            return (
              <p class="note">
                Sign in with an API key that has the scope <code>admin</code> to see dead letters and the
                board of the queues.
              </p>
            )
          }
          if (found === 'not-configured') {
            return (
              <p class="note">
                This server does not know its dead-letter queue: <code>DEAD_LETTER_QUEUE_URL</code> is not
                set.
              </p>
            )
          }
          const { messages, count, hidden } = found
          if (messages.length === 0 && count === 0) {
            return <EmptyState icon={CircleCheck} title="No dead letters" />
          }
          return (
            <>
              <DeadLetterTable messages={messages} />
              <p class="note">
                {count} in the queue{hidden > 0 && `, and ${hidden} that another reader has`}.
              </p>
            </>
          )
        }}
      </LoadState>
      <p class="note">
        Jobs of all queues, to pause, retry and promote:{' '}
        <a href={new URL('admin/queues', document.baseURI).href}>board of the queues</a> (scope{' '}
        <code>admin</code>).
      </p>
    </section>
  )
}

function DeadLetterTable({ messages }: { messages: readonly DeadLetter[] }) {
  return (
    <div class="table-frame">
      <table class="table">
        <caption class="visually-hidden">Dead letters, oldest first</caption>
        <thead>
          <tr>
            <th scope="col">Event</th>
            <th scope="col">Reason</th>
            <th scope="col" class="is-wide number-cell">
              Received
            </th>
            <th scope="col" class="is-wide">
              Sent
            </th>
          </tr>
        </thead>
        <tbody>
          {messages.map(({ id, objects, excerpt, reason, receivedCount, sentAt }) => (
            <tr key={id}>
              <th scope="row" class="main-cell">
                {objects?.map(({ key, kind, state }) => (
                  <div key={key}>
                    <div class="cell-title">
                      {kind}
                      {state && <Badge text={state} />}
                    </div>
                    <div class="cell-note">
                      <code>{key}</code>
                    </div>
                  </div>
                ))}
                {excerpt !== undefined && <pre class="excerpt">{excerpt}</pre>}
                <div class="cell-note only-narrow">
                  {receivedCount} times since {timeText(Date.parse(sentAt))}
                </div>
              </th>
              <td>{reason ? <code>{reason.code}</code> : 'unknown'}</td>
              <td class="is-wide number-cell">{receivedCount}</td>
              <td class="is-wide">{timeText(Date.parse(sentAt))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
