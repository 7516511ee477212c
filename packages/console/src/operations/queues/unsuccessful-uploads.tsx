import type { Upload } from '@millrace/client'
import { CircleCheck, RotateCw } from 'lucide-preact'
import { useCallback, useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import { Explained } from '../../design/explained.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { sizeText, timeText } from '../../format/format-quantities.ts'
import { LoadState } from '../load-state.tsx'
import type { Operations } from '../operations.ts'
import { useLoaded } from '../use-loaded.ts'

type State = 'failed' | 'rejected'
type Page = { uploads: readonly Upload[]; nextCursor?: string }

const texts = {
  failed: {
    title: 'Failed',
    explanation:
      'Processing did not succeed after several attempts. The files are kept, and it can be retried.',
    empty: 'Nothing has failed',
    retry: 'Retry',
  },
  rejected: {
    title: 'Rejected',
    explanation: 'The file is at fault, or a limit. Its bytes are deleted if they must not be served.',
    empty: 'Nothing was rejected',
    retry: 'Try again',
  },
} satisfies Record<State, object>

/** Uploads of one state, newest first, with their reasons. Each can be processed again; those that failed, all at once. */
export function UnsuccessfulUploads(props: { state: State; operations: Operations; toasts: Toasts }) {
  const { state, operations, toasts } = props
  const { api, send, identity } = operations
  const { title, explanation, empty, retry } = texts[state]
  const load = useCallback(async (): Promise<Page> => {
    // Without a session, each of the requests of the page would start one.
    await identity.open()
    return send(api.GET('/uploads', { params: { query: { state: [state] } } }))
  }, [api, send, identity, state])
  const loaded = useLoaded(load)
  const [isRetrying, setIsRetrying] = useState(false)
  const headingId = `${state}-heading`

  const retryOne = async ({ id, filename }: Upload) => {
    try {
      await send(api.POST('/uploads/{id}/reprocess', { params: { path: { id } }, body: {} }))
      toasts.tell(`${filename} is processed again.`)
      await loaded.reload()
    } catch (error) {
      toasts.tellFailure(`${filename} could not be processed again`, error)
    }
  }
  const retryAll = async () => {
    setIsRetrying(true)
    try {
      let accepted = 0
      let cursor: string | undefined
      do {
        const body = { filter: { state: [state] }, ...(cursor !== undefined && { cursor }) }
        const { results, nextCursor } = await send(api.POST('/uploads/reprocess', { body }))
        accepted += results.filter(({ outcome }) => outcome === 'accepted').length
        cursor = nextCursor
      } while (cursor !== undefined)
      toasts.tell(
        accepted === 1 ? 'One upload is processed again.' : `${accepted} uploads are processed again.`,
      )
      await loaded.reload()
    } catch (error) {
      toasts.tellFailure('Not all could be processed again', error)
    } finally {
      setIsRetrying(false)
    }
  }
  const hasSome = (loaded.data?.uploads.length ?? 0) > 0

  return (
    <section aria-labelledby={headingId}>
      <div class="section-header">
        <h2 id={headingId}>
          <Explained word={title}>{explanation}</Explained>
        </h2>
        <div class="page-actions">
          {state === 'failed' && hasSome && (
            <Button
              label={isRetrying ? 'Retrying…' : 'Retry all'}
              icon={RotateCw}
              disabled={isRetrying}
              onClick={() => void retryAll()}
            />
          )}
          <Button
            label={`Load ${title.toLowerCase()} again`}
            icon={RotateCw}
            look="quiet"
            iconOnly
            onClick={() => void loaded.reload()}
          />
        </div>
      </div>
      <LoadState loaded={loaded} what="The uploads">
        {({ uploads, nextCursor }) =>
          uploads.length === 0 ? (
            <EmptyState icon={CircleCheck} title={empty} />
          ) : (
            <>
              <div class="table-frame">
                <table class="table">
                  <caption class="visually-hidden">{title} uploads, newest first</caption>
                  <thead>
                    <tr>
                      <th scope="col">File</th>
                      <th scope="col" class="is-wide">
                        Type
                      </th>
                      <th scope="col" class="is-wide number-cell">
                        Size
                      </th>
                      <th scope="col" class="is-wide">
                        When
                      </th>
                      <th scope="col">
                        <span class="visually-hidden">Actions</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {uploads.map((upload) => (
                      <tr key={upload.id}>
                        <th scope="row" class="main-cell">
                          {/* The panel shows the evidence: checks, limits, steps and the history of states. */}
                          <Link class="cell-title" href={`/?upload=${upload.id}`}>
                            {upload.filename}
                          </Link>
                          {upload.error && (
                            <div class="cell-note">
                              {upload.error.message} <code>{upload.error.code}</code>
                            </div>
                          )}
                          <div class="cell-note only-narrow">
                            {typeOf(upload)} · {sizeText(upload.size)} ·{' '}
                            {timeText(Date.parse(upload.updatedAt))}
                          </div>
                        </th>
                        <td class="is-wide">{typeOf(upload)}</td>
                        <td class="is-wide number-cell">{sizeText(upload.size)}</td>
                        <td class="is-wide">{timeText(Date.parse(upload.updatedAt))}</td>
                        <td class="actions-cell">
                          <Button label={retry} onClick={() => void retryOne(upload)}>
                            <span class="visually-hidden"> {upload.filename}</span>
                          </Button>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {nextCursor !== undefined && (
                <p class="note">These are the newest {uploads.length}. There are more.</p>
              )}
            </>
          )
        }
      </LoadState>
    </section>
  )
}

/** What was announced, and what the bytes are, if that differs. */
function typeOf({ contentType, detectedType }: Upload): string {
  return detectedType === undefined || detectedType === contentType
    ? contentType
    : `${contentType}, in fact ${detectedType}`
}
