import { ApiProblem, type Client, type components, dataOf, isFinished, type Upload } from '@millrace/client'
import { ChevronLeft, ChevronRight, FileQuestionMark, Pencil, RotateCw, Trash2, X } from 'lucide-preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import type { Toasts } from '../../design/toasts.tsx'
import { reasonOf } from '../store/bulk.ts'
import type { Entry } from '../store/upload-store.ts'
import type { Uploads } from '../store/uploads.ts'
import { StateBadge } from '../upload-cells.tsx'
import { describeProgress, stateWords } from '../upload-state.ts'
import { EditDialog } from './edit-dialog.tsx'
import { Facts } from './facts.tsx'
import { Preview } from './preview.tsx'
import { ProcessingDetails, StateHistory } from './processing.tsx'
import './upload-panel.css'
import { Variants } from './variants.tsx'

export type Evidence = components['schemas']['UploadEvidence']

/** In windows narrower than this the panel covers the page. The same width is in upload-panel.css. */
const sheetWidth = '(max-width: 52rem)'

/**
 * Shows one upload beside the list, or over it on phones: its picture, its variants, what was found and how, and its history.
 *
 * @param props.onStep called with 1 for the next upload of the list, with -1 for the one before
 */
export function UploadPanel(props: {
  id: string
  uploads: Uploads
  client: Client
  toasts: Toasts
  /** Whether it is the reader's own upload. One of another user can be seen only. */
  isOwn: boolean
  fileOf: ((id: string) => File | undefined) | undefined
  onClose: () => void
  onStep: (by: number) => void
  onReprocess: (id: string) => void
  onDelete: (id: string) => void
}) {
  const { id, uploads, client, toasts, isOwn, fileOf, onClose, onStep, onReprocess, onDelete } = props
  const panel = useRef<HTMLElement>(null)
  const entry = uploads.store.entryOf(id).value
  const problem = useMissingUpload(id, entry, uploads, onClose)
  const ids = uploads.store.ids.value
  const at = ids.indexOf(id)
  const isSheet = useIsSheet()
  useEffect(() => panel.current?.focus({ preventScroll: true }), [])
  useEffect(() => {
    panel.current?.scrollTo(0, 0)
  }, [id])
  return (
    <aside
      ref={panel}
      class="panel"
      role="dialog"
      aria-modal={isSheet}
      aria-label={entry ? `Upload ${entry.upload.filename}` : 'Upload'}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.target !== panel.current && !isPlace(event.target)) return
        const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
        if (by === 0) return
        event.preventDefault()
        onStep(by)
      }}
    >
      <div class="panel-header">
        <Button label="Close" icon={X} look="quiet" iconOnly shortcut="Escape" onClick={onClose} />
        <span class="panel-steps">
          <Button
            label="Previous upload"
            icon={ChevronLeft}
            look="quiet"
            iconOnly
            disabled={at <= 0}
            onClick={() => onStep(-1)}
          />
          <Button
            label="Next upload"
            icon={ChevronRight}
            look="quiet"
            iconOnly
            disabled={at < 0 || at + 1 >= ids.length}
            onClick={() => onStep(1)}
          />
        </span>
      </div>
      {problem && (
        <EmptyState icon={FileQuestionMark} title={problem.title}>
          <p>{problem.text}</p>
        </EmptyState>
      )}
      {!entry && !problem && <PanelPlaceholder />}
      {entry && (
        <PanelContent
          key={id}
          entry={entry}
          client={client}
          toasts={toasts}
          uploads={uploads}
          isOwn={isOwn}
          file={fileOf?.(id)}
          onReprocess={() => onReprocess(id)}
          onDelete={() => onDelete(id)}
        />
      )}
    </aside>
  )
}

function PanelContent(props: {
  entry: Entry
  uploads: Uploads
  client: Client
  toasts: Toasts
  isOwn: boolean
  file: File | undefined
  onReprocess: () => void
  onDelete: () => void
}) {
  const { entry, uploads, client, toasts, isOwn, file, onReprocess, onDelete } = props
  const { upload } = entry
  const { state } = upload
  const [shownVariant, setShownVariant] = useState<string>()
  const [isEditing, setIsEditing] = useState(false)
  const evidence = useEvidence(client, upload)
  return (
    <>
      <Preview upload={upload} variantName={shownVariant} file={file} />
      <div class="panel-title">
        <h2>{upload.filename}</h2>
        <StateBadge upload={upload} />
      </div>
      <StateNote entry={entry} />
      {isOwn && (
        <div class="panel-actions">
          <Button label="Edit" icon={Pencil} onClick={() => setIsEditing(true)} />
          {isFinished(upload) && (
            <Button
              label="Process again"
              icon={RotateCw}
              look={state === 'failed' ? 'primary' : 'plain'}
              onClick={onReprocess}
            />
          )}
          <Button label="Delete" icon={Trash2} look="danger" onClick={onDelete} />
        </div>
      )}
      {state === 'ready' && isOwn && (
        <Variants
          upload={upload}
          client={client}
          toasts={toasts}
          shownVariant={shownVariant}
          onShow={setShownVariant}
        />
      )}
      <Facts upload={upload} typeFoundBy={evidence?.processing?.typeFoundBy} />
      {evidence && <StateHistory history={evidence.history} />}
      {evidence?.processing && <ProcessingDetails processing={evidence.processing} />}
      {isEditing && (
        <EditDialog
          upload={upload}
          client={client}
          onSaved={uploads.store.keep}
          onClose={() => setIsEditing(false)}
        />
      )}
    </>
  )
}

/** What a state means for the reader, if it is not simply ready. */
function StateNote({ entry: { upload, progress } }: { entry: Entry }) {
  const { state, error, warnings = [] } = upload
  if (state === 'processing') {
    const { text, done } = describeProgress(progress)
    return (
      <div class="panel-note" role="status">
        {text}
        <progress aria-label={text} {...(done !== undefined && { value: done })} />
      </div>
    )
  }
  if (state === 'ready') {
    return warnings.length === 0 ? null : (
      <div class="panel-note is-warn">
        {warnings.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
      </div>
    )
  }
  const { tone, meaning } = stateWords[state]
  return (
    <div class={`panel-note is-${tone}`}>
      {error && <p class="panel-reason">{error.message}</p>}
      <p>{meaning}</p>
    </div>
  )
}

function PanelPlaceholder() {
  return (
    <div class="panel-placeholder" aria-hidden="true">
      <span class="placeholder" />
      <span class="placeholder" />
      <span class="placeholder" />
    </div>
  )
}

/** Reads an upload that the list does not have. Closes the panel when the upload that it shows is erased. */
function useMissingUpload(id: string, entry: Entry | undefined, uploads: Uploads, onClose: () => void) {
  const [problem, setProblem] = useState<{ id: string; title: string; text: string }>()
  const seenId = useRef<string | undefined>(undefined)
  const isMissing = entry === undefined
  useEffect(() => {
    if (!isMissing) {
      seenId.current = id
      return
    }
    if (seenId.current === id) return onClose()
    uploads.load(id).catch((error: unknown) => {
      const isUnknown = error instanceof ApiProblem && error.code === 'upload_not_found'
      setProblem({
        id,
        title: isUnknown ? 'There is no such upload' : 'The upload could not be loaded',
        text: isUnknown ? 'It was deleted, or it belongs to someone else.' : reasonOf(error),
      })
    })
  }, [id, isMissing, uploads])
  return problem?.id === id && isMissing ? problem : undefined
}

/** Reads how the upload became what it is, again after each change of its state. */
function useEvidence(client: Client, { id, state, updatedAt }: Upload): Evidence | undefined {
  const [evidence, setEvidence] = useState<Evidence>()
  useEffect(() => {
    const aborting = new AbortController()
    const params = { path: { id } }
    client.api
      .GET('/uploads/{id}/evidence', { params, signal: aborting.signal })
      .then((result) => setEvidence(dataOf(result)))
      // The rest of the panel does not need it.
      .catch(() => undefined)
    return () => aborting.abort()
  }, [client, id, state, updatedAt])
  return evidence
}

function useIsSheet(): boolean {
  const [isSheet, setIsSheet] = useState(() => matchMedia(sheetWidth).matches)
  useEffect(() => {
    const media = matchMedia(sheetWidth)
    const onChange = () => setIsSheet(media.matches)
    media.addEventListener('change', onChange)
    return () => media.removeEventListener('change', onChange)
  }, [])
  // What is behind a sheet can neither be seen nor reached.
  useEffect(() => {
    if (!isSheet) return
    const behind = document.querySelectorAll('.uploads-main, .sidebar')
    for (const element of behind) element.setAttribute('inert', '')
    document.documentElement.classList.add('has-sheet')
    return () => {
      for (const element of behind) element.removeAttribute('inert')
      document.documentElement.classList.remove('has-sheet')
    }
  }, [isSheet])
  return isSheet
}

/** Whether keys pressed there have no other use. */
function isPlace(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest('input, textarea, select, video, audio, dialog') === null
  )
}
