import { useEffect, useRef, useState } from 'preact/hooks'
import { timeText } from './format/format-quantities.ts'
import { DropZone } from './uploads/drop-zone.tsx'
import { outcomeText } from './uploads/state-line.ts'
import { UploadCard } from './uploads/upload-card.tsx'
import type { Rows } from './uploads/upload-list.ts'
import type { Session, Uploads } from './uploads/uploads.ts'

/** The page of this session's uploads. */
export function App({ uploads }: { uploads: Uploads }) {
  const rows = useRows(uploads)
  const outcome = useLatestOutcome(rows)
  const { session, hasOlder, problem, isLoading, load } = useOlderUploads(uploads)
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
      <header>
        <h1>
          <Wheel />
          Millrace
        </h1>
        <p>Upload files straight to S3 and watch them become variants.</p>
      </header>
      <main>
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
      </main>
      <footer>
        {session && <SessionLine session={session} />}
        <a href="fleet">Fleet</a>
      </footer>
      <p class="visually-hidden" role="status" aria-live="polite">
        {outcome}
      </p>
    </>
  )
}

function SessionLine({ session: { views, createdAt, servedBy } }: { session: Session }) {
  return (
    <p>
      Only this browser's session can see these uploads. Session started: {timeText(Date.parse(createdAt))} ·
      page views: {views} · API instance: {servedBy}
    </p>
  )
}

function Wheel() {
  return (
    <svg class="wheel" viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="13.5" r="7" />
      <path d="M16 2v23M4.5 13.5h23M7.9 5.4l16.2 16.2M24.1 5.4 7.9 21.6" />
      <path d="M2 29c2.3 0 2.3-1.8 4.7-1.8s2.3 1.8 4.6 1.8 2.4-1.8 4.7-1.8 2.3 1.8 4.7 1.8 2.3-1.8 4.6-1.8 2.4 1.8 4.7 1.8" />
    </svg>
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
  const [session, setSession] = useState<Session>()
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
      if (session) return setHasOlder(await uploads.loadMore())
      const opened = await uploads.open()
      setSession(opened.session)
      setHasOlder(opened.hasOlder)
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

  return { session, hasOlder, isLoading, problem, load }
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
