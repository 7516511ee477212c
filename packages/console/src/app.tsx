import { useEffect, useRef, useState } from 'preact/hooks'
import { momentText } from './format.ts'
import { DropZone } from './uploads/drop-zone.tsx'
import { outcomeText } from './uploads/state-line.ts'
import { UploadCard } from './uploads/upload-card.tsx'
import type { Rows } from './uploads/upload-list.ts'
import type { Session, Uploads } from './uploads/uploads.ts'

/** The whole page. */
export function App({ uploads }: { uploads: Uploads }) {
  const rows = useRows(uploads)
  const outcome = useLatestOutcome(rows)
  const { session, more, problem, loading, load } = useEarlier(uploads)
  const [unremoved, setUnremoved] = useState('')
  const remove = async (id: string) => {
    setUnremoved('')
    try {
      await uploads.remove(id)
    } catch (error) {
      setUnremoved(`It could not be removed: ${error instanceof Error ? error.message : error}`)
    }
  }
  useFarewell(rows)
  return (
    <>
      <header>
        <h1>
          <Wheel />
          Millrace
        </h1>
        <p>Uploads straight to S3, worked into variants while you watch.</p>
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
          {unremoved && (
            <p class="problem" role="alert">
              {unremoved}
            </p>
          )}
          {rows.length === 0 && !problem && (
            <p class="empty">
              {loading ? 'Looking for earlier ones…' : 'None yet. The first one is a drop away.'}
            </p>
          )}
          <ol class="list" aria-label="Uploads, newest first">
            {rows.map((row) => (
              <UploadCard
                key={row.key}
                row={row}
                onRetry={uploads.retry}
                onCancel={uploads.cancel}
                onRemove={remove}
              />
            ))}
          </ol>
          {more && !problem && (
            <button type="button" class="more" aria-disabled={loading} onClick={load}>
              {loading ? 'Loading…' : 'Load more'}
            </button>
          )}
        </section>
      </main>
      <footer>
        {session && <SessionLine session={session} />}
        <a href="/fleet">Fleet</a>
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
      Only this browser's session sees these uploads. It began {momentText(Date.parse(createdAt))}; this is
      visit {views}, served by {servedBy}.
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

/** Loads earlier uploads, page by page. */
function useEarlier(uploads: Uploads) {
  const [session, setSession] = useState<Session>()
  const [more, setMore] = useState(false)
  const [loading, setLoading] = useState(true)
  const [problem, setProblem] = useState('')
  const busy = useRef(false)

  const load = async () => {
    if (busy.current) return
    busy.current = true
    setLoading(true)
    setProblem('')
    try {
      if (session) return setMore(await uploads.loadMore())
      const opened = await uploads.open()
      setSession(opened.session)
      setMore(opened.more)
    } catch (error) {
      setProblem(`Your uploads could not be loaded: ${error instanceof Error ? error.message : error}`)
    } finally {
      busy.current = false
      setLoading(false)
    }
  }

  useEffect(() => {
    load()
  }, [uploads])

  return { session, more, loading, problem, load }
}

/** The latest end that a row came to while the page was open, in words to be read out. */
function useLatestOutcome(rows: Rows): string {
  const [latest, setLatest] = useState('')
  const known = useRef(new Map<string, string | undefined>())
  useEffect(() => {
    for (const row of rows) {
      const outcome = outcomeText(row)
      // Rows that had ended when they were first seen are no news.
      if (outcome && known.current.has(row.key) && known.current.get(row.key) !== outcome) setLatest(outcome)
      known.current.set(row.key, outcome)
    }
  }, [rows])
  return latest
}

/** Asks before the page is left while files are on their way. */
function useFarewell(rows: Rows): void {
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
