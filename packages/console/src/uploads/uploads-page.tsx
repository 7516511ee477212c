import type { Client } from '@millrace/client'
import { useSignal } from '@preact/signals'
import { CloudOff, FileSearch, Upload as UploadIcon } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { lazy, Suspense } from 'preact/compat'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useSearchParams } from 'wouter-preact'
import { Button } from '../design/button.tsx'
import { EmptyState } from '../design/empty-state.tsx'
import type { Toasts } from '../design/toasts.tsx'
import { timeText } from '../format/format-quantities.ts'
import type { Identity } from '../frame/identity.ts'
import { PageHeader } from '../frame/page-header.tsx'
import { type Shortcuts, useShortcuts } from '../frame/shortcuts.ts'
import { type Actions, createActions, type Links } from './actions.ts'
import { Collection } from './collection.tsx'
import { DeleteDialog, LinksDialog, ReprocessDialog } from './dialogs.tsx'
import { chooseLook, readLook } from './look.ts'
import { Outcomes } from './outcomes.tsx'
import { SelectionBar } from './selection-bar.tsx'
import { isFiltered, readQuery, type UploadQuery, writeQuery } from './store/upload-query.ts'
import type { Uploads } from './store/uploads.ts'
import { Toolbar } from './toolbar.tsx'
import './uploads-page.css'

const UploadPanel = lazy(async () => (await import('./panel/upload-panel.tsx')).UploadPanel)

/** A question about uploads that waits for its answer. */
type Asked = { kind: 'delete' | 'reprocess'; ids: readonly string[] } | { kind: 'links'; links: Links }

/**
 * The uploads of this session or of whom it is signed in as: found, watched, chosen and changed. The query and the upload of
 * the side panel are in the page's address.
 *
 * @param props.sendButton for the header: begins to send files
 * @param props.fileOf returns the file of an upload that this page sends
 */
export function UploadsPage(props: {
  uploads: Uploads
  client: Client
  identity: Identity
  shortcuts: Shortcuts
  toasts: Toasts
  sendButton?: ComponentChildren
  fileOf?: (id: string) => File | undefined
}) {
  const { uploads, client, identity, shortcuts, toasts, sendButton, fileOf } = props
  const { store, selection } = uploads
  const [address, setAddress] = useSearchParams()
  const addressText = address.toString()
  const query = useMemo(() => readQuery(new URLSearchParams(addressText)), [addressText])
  const openId = address.get('upload') ?? undefined
  const [look, setLook] = useState(readLook)
  const actions = useMemo(() => createActions({ uploads, toasts }), [uploads, toasts])
  const asked = useSignal<Asked | undefined>(undefined)
  const focusId = useSignal<string | undefined>(undefined)
  const searchField = useRef<HTMLInputElement>(null)
  const isTyping = useRef(false)

  useEffect(() => uploads.show(query), [uploads, query])

  const setQuery = (next: UploadQuery, options?: { isTyping: boolean }) => {
    // Back leads to the search before, not to each of its letters.
    const replace = options?.isTyping === true && isTyping.current
    isTyping.current = options?.isTyping === true
    setAddress((current) => writeQuery(current, next), { replace })
    scrollTo(0, 0)
  }
  const open = (id: string | undefined, { replace = false } = {}) => {
    isTyping.current = false
    setAddress((current) => withUpload(current, id), { replace })
  }
  const close = () => {
    focusId.value = openId
    open(undefined)
  }
  const isOwn = query.user === ''
  const askToDelete = () => {
    if (!isOwn) return
    const focused = document.activeElement?.closest<HTMLElement>('[data-id]')?.dataset['id']
    const ids =
      selection.ids.peek().size > 0 ? [...selection.ids.peek()] : [openId ?? focused ?? ''].filter(Boolean)
    if (ids.length > 0) asked.value = { kind: 'delete', ids }
  }
  usePageShortcuts(shortcuts, {
    search: () => searchField.current?.focus(),
    askToDelete,
    escape() {
      if (openId !== undefined) close()
      else selection.clear()
    },
  })

  const selected = selection.ids.value
  const step = (by: number) => {
    const ids = store.ids.peek()
    const next = openId === undefined ? undefined : ids[ids.indexOf(openId) + by]
    if (next !== undefined) open(next, { replace: true })
  }
  return (
    <div class={openId === undefined ? 'uploads' : 'uploads has-panel'}>
      <div class="uploads-main">
        <PageHeader title="Uploads" note={<Summary uploads={uploads} />}>
          {sendButton}
        </PageHeader>
        <div class={selected.size > 0 ? 'uploads-bar has-selection' : 'uploads-bar'}>
          {selected.size > 0 && (
            <SelectionBar
              selected={selected.size}
              loaded={store.ids.value.length}
              acting={actions.acting.value}
              isOwn={isOwn}
              onAll={() => selection.selectAll(store.ids.peek())}
              onNone={selection.clear}
              onReprocess={() => {
                asked.value = { kind: 'reprocess', ids: [...selected] }
              }}
              onLinks={async () => {
                asked.value = { kind: 'links', links: await actions.links([...selected]) }
              }}
              onDelete={askToDelete}
            />
          )}
          <Toolbar
            query={query}
            look={look}
            searchField={searchField}
            isAdministrator={isAdministrator(identity)}
            onQuery={setQuery}
            onLook={(next) => {
              chooseLook(next)
              setLook(next)
            }}
          />
        </div>
        <NewUploads uploads={uploads} />
        <Content uploads={uploads} query={query} onAll={() => setQuery({ ...query, search: '', states: [] })}>
          <Collection
            uploads={uploads}
            look={look}
            openId={openId}
            focusId={focusId.value}
            fileOf={fileOf}
            onOpen={(id) => {
              focusId.value = undefined
              open(id, { replace: openId !== undefined })
            }}
          />
        </Content>
      </div>
      {openId !== undefined && (
        <Suspense fallback={null}>
          <UploadPanel
            id={openId}
            uploads={uploads}
            client={client}
            toasts={toasts}
            isOwn={isOwn}
            fileOf={fileOf}
            onClose={close}
            onStep={step}
            onReprocess={(id: string) => {
              asked.value = { kind: 'reprocess', ids: [id] }
            }}
            onDelete={(id: string) => {
              asked.value = { kind: 'delete', ids: [id] }
            }}
          />
        </Suspense>
      )}
      {asked.value && (
        <Question
          asked={asked.value}
          client={client}
          uploads={uploads}
          actions={actions}
          onClose={() => {
            asked.value = undefined
          }}
        />
      )}
      <Outcomes store={store} />
    </div>
  )
}

/** The list, or why there is none. */
function Content(props: {
  uploads: Uploads
  query: UploadQuery
  onAll: () => void
  children: ComponentChildren
}) {
  const { uploads, query, onAll, children } = props
  const { store, status } = uploads
  const { value } = status
  const isEmpty = store.ids.value.length === 0
  if (isEmpty && value.kind === 'failed') {
    return (
      <div role="alert">
        <EmptyState icon={CloudOff} title="Your uploads could not be loaded">
          <p>{value.problem}</p>
          <Button label="Try again" onClick={uploads.retry} />
        </EmptyState>
      </div>
    )
  }
  if (isEmpty && value.kind === 'paused') {
    return (
      <EmptyState icon={FileSearch} title="Nothing found yet">
        <p>Searched back to {timeText(value.reachedAt)}. There are older uploads.</p>
        <Button label="Search further" onClick={uploads.loadMore} />
      </EmptyState>
    )
  }
  if (isEmpty && value.kind === 'idle') {
    return isFiltered(query) || query.user !== '' ? (
      <EmptyState icon={FileSearch} title="No upload matches">
        <p>Names are compared from their beginning, and with upper and lower case.</p>
        {isFiltered(query) && <Button label="Show all uploads" onClick={onAll} />}
      </EmptyState>
    ) : (
      <EmptyState icon={UploadIcon} title="No uploads yet">
        <p>Drop files or folders anywhere on this page, or paste a picture. They go straight to S3.</p>
      </EmptyState>
    )
  }
  return (
    <>
      {children}
      {value.kind === 'failed' && (
        <div class="more-uploads-failed" role="alert">
          More could not be loaded. {value.problem}
          <Button label="Try again" onClick={uploads.retry} />
        </div>
      )}
      {value.kind === 'paused' && (
        <div class="more-uploads-failed">
          Searched back to {timeText(value.reachedAt)}.
          <Button label="Search further" onClick={uploads.loadMore} />
        </div>
      )}
    </>
  )
}

/** How many uploads are shown, and whether their changes are seen. */
function Summary({ uploads: { store, isLost } }: { uploads: Uploads }) {
  const count = store.ids.value.length
  const hasMore = store.end.value !== undefined
  return (
    <>
      <span>
        {count === 0
          ? 'Files go straight to S3, and become variants.'
          : `${count.toLocaleString()} ${count === 1 ? 'upload' : 'uploads'}${hasMore ? ', more below' : ''}`}
      </span>
      {isLost.value && <span class="uploads-offline"> · Offline: changes are not seen at the moment</span>}
    </>
  )
}

/** New uploads that wait at the beginning while the reader is further down. */
function NewUploads({ uploads: { store } }: { uploads: Uploads }) {
  const { length } = store.held.value
  if (length === 0) return null
  return (
    <div class="new-uploads">
      <Button
        label={length === 1 ? '1 new upload' : `${length} new uploads`}
        look="primary"
        onClick={() => {
          store.hold(false)
          scrollTo({ top: 0 })
        }}
      />
    </div>
  )
}

function Question(props: {
  asked: Asked
  client: Client
  uploads: Uploads
  actions: Actions
  onClose: () => void
}) {
  const { asked, client, uploads, actions, onClose } = props
  if (asked.kind === 'links') return <LinksDialog links={asked.links} onClose={onClose} />
  const { ids } = asked
  if (asked.kind === 'reprocess') {
    return (
      <ReprocessDialog
        client={client}
        count={ids.length}
        onReprocess={(preset) => actions.reprocess(ids, preset)}
        onClose={onClose}
      />
    )
  }
  const names = ids.map((id) => uploads.store.entryOf(id).peek()?.upload.filename ?? id)
  return <DeleteDialog names={names} onDelete={() => actions.erase(ids)} onClose={onClose} />
}

function usePageShortcuts(
  shortcuts: Shortcuts,
  run: { search: () => void; askToDelete: () => void; escape: () => void },
): void {
  const latest = useRef(run)
  latest.current = run
  useShortcuts(
    shortcuts,
    useMemo(
      () => [
        { keys: '/', label: 'Search uploads', run: () => latest.current.search() },
        // The list handles these itself, while it has the focus. No key has these names.
        ...[
          ['Arrows', 'Move in the list'],
          ['Return', 'Open an upload'],
          ['Space', 'Select an upload'],
          ['Shift+Arrows', 'Select several'],
          ['Ctrl+A', 'Select all that are loaded'],
        ].map(([keys = '', label = '']) => ({ keys, label, run: () => undefined })),
        { keys: 'Delete', label: 'Delete what is selected', run: () => latest.current.askToDelete() },
        {
          keys: 'Escape',
          label: 'Close the panel, or clear the selection',
          run: () => latest.current.escape(),
        },
      ],
      [],
    ),
  )
}

function withUpload(address: URLSearchParams, id: string | undefined): URLSearchParams {
  const next = new URLSearchParams(address)
  if (id === undefined) next.delete('upload')
  else next.set('upload', id)
  return next
}

/** Whether the session is signed in with a key that may see the uploads of the tenant's users. */
function isAdministrator({ signedIn }: Identity): boolean {
  const { value } = signedIn
  return (
    value !== undefined && 'scopes' in value && Array.isArray(value.scopes) && value.scopes.includes('tenant')
  )
}
