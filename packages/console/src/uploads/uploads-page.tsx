import { useEffect, useRef, useState } from 'preact/hooks'
import { PageHeader } from '../frame/page-header.tsx'
import { DropZone } from '../sending/drop-zone.tsx'
import { outcomeText } from './state-line.ts'
import { UploadCard } from './upload-card.tsx'
import type { Rows } from './upload-list.ts'
import type { Uploads } from './uploads.ts'
import './uploads-page.css'

/** The uploads of this session or of whom it is signed in as. */
export function UploadsPage({ uploads }: { uploads: Uploads }) {
  const rows = useRows(uploads)
  const outcome = useLatestOutcome(rows)
  const { hasOlder, problem, isLoading, load } = useOlderUploads(uploads)
  const [removalProblem, setRemovalProblem] = useState('')
  const erase = async (id: string) => {
    setRemovalProblem('')
    try {
      await uploads.erase(id)
    } catch (error) {
      setRemovalProblem(`The upload could not be deleted: ${error instanceof Error ? error.message : error}`)
    }
  }
  useConfirmLeave(rows)
  return (
    <>
      <PageHeader title="Uploads" note="Files go straight to S3, and become variants." />
      <DropZone onFiles={uploads.add} />
      <section aria-labelledby="uploads-heading">
        <h2 id="uploads-heading">Your uploads</h2>
        {problem && (
          <p class="problem" role="alert">
            {problem}{' '}
            <button type="button" onClick={load}>
              Try again
            </button>
          </p>
        )}
        {removalProblem && (
          <p class="problem" role="alert">
            {removalProblem}
          </p>
        )}
        {rows.length === 0 && !problem && (
          <p class="empty">{isLoading ? 'Loading…' : 'No uploads yet. Drop a file above to start.'}</p>
        )}
        <ol class="list" aria-label="Uploads, newest first">
          {rows.map((row) => (
            <UploadCard
              key={row.key}
              row={row}
              onRetry={uploads.retry}
              onCancel={uploads.cancel}
              onErase={erase}
            />
          ))}
        </ol>
        {hasOlder && !problem && (
          <button type="button" class="more" aria-disabled={isLoading} onClick={load}>
            {isLoading ? 'Loading…' : 'Load more'}
          </button>
        )}
      </section>
      <p class="visually-hidden" role="status" aria-live="polite">
        {outcome}
      </p>
    </>
  )
}

function useRows({ list }: Uploads): Rows {
  const [rows, setRows] = useState(list.rows)
  useEffect(() => {
    setRows(list.rows())
    return list.subscribe(setRows)
  }, [list])
  return rows
}

/** Opens the session and loads its uploads, page by page. */
function useOlderUploads(uploads: Uploads) {
  const isOpen = useRef(false)
  const [hasOlder, setHasOlder] = useState(false)
  const [isLoading, setIsLoading] = useState(true)
  const [problem, setProblem] = useState('')
  const busy = useRef(false)

  const load = async () => {
    if (busy.current) return
    busy.current = true
    setIsLoading(true)
    setProblem('')
    try {
      if (isOpen.current) return setHasOlder(await uploads.loadMore())
      setHasOlder(await uploads.open())
      isOpen.current = true
    } catch (error) {
      setProblem(`Your uploads could not be loaded: ${error instanceof Error ? error.message : error}`)
    } finally {
      busy.current = false
      setIsLoading(false)
    }
  }

  useEffect(() => {
    load()
  }, [uploads])

  return { hasOlder, isLoading, problem, load }
}

/** Returns the latest outcome of a row while the page was open, as a sentence for screen readers. */
function useLatestOutcome(rows: Rows): string {
  const [latest, setLatest] = useState('')
  const previous = useRef(new Map<string, string | undefined>())
  useEffect(() => {
    for (const row of rows) {
      const outcome = outcomeText(row)
      // Rows that were finished when they were first shown are not announced.
      if (outcome && previous.current.has(row.key) && previous.current.get(row.key) !== outcome) {
        setLatest(outcome)
      }
      previous.current.set(row.key, outcome)
    }
  }, [rows])
  return latest
}

/** Makes the browser ask before the page is closed while files are being sent. */
function useConfirmLeave(rows: Rows): void {
  const isSending = rows.some(({ transfer }) => {
    return transfer && ['queued', 'starting', 'sending'].includes(transfer.phase)
  })
  useEffect(() => {
    if (!isSending) return
    const onBeforeUnload = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', onBeforeUnload)
    return () => removeEventListener('beforeunload', onBeforeUnload)
  }, [isSending])
}
