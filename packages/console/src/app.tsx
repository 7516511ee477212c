import { createClient } from '@millrace/client'
import { Activity, Images } from 'lucide-preact'
import { lazy } from 'preact/compat'
import { Router } from 'wouter-preact'
import { createToasts } from './design/toasts.tsx'
import { Frame } from './frame/frame.tsx'
import { createIdentity } from './frame/identity.ts'
import type { Page } from './frame/page.ts'
import { createShortcuts } from './frame/shortcuts.ts'
import { createTheme } from './frame/theme.ts'
import { DropZone } from './sending/drop-zone.tsx'
import { createTransfers } from './sending/transfers.ts'
import { createUploads } from './uploads/store/uploads.ts'
import { UploadsPage } from './uploads/uploads-page.tsx'

/**
 * Composes the console from its rooms. The first page is part of the first script; the others are loaded when they are
 * opened.
 *
 * @param apiUrl the API's address, which may have a path; without a slash at its end
 */
export function createApp(apiUrl: string) {
  const client = createClient({ origin: apiUrl })
  const identity = createIdentity({ client })
  const shortcuts = createShortcuts()
  const toasts = createToasts()
  const frame = { identity, shortcuts, theme: createTheme(), toasts }
  const uploads = createUploads({ client, identity })
  const transfers = createTransfers({
    client,
    onTransfer(_, transfer) {
      if (transfer.phase === 'failed') toasts.tellFailure('A file was not sent', transfer.problem)
    },
    onAnnounced: () => undefined,
    erase: (id) => client.erase(id).catch(console.warn),
  })
  const send = (files: readonly File[]) =>
    transfers.start(files.map((file) => ({ key: crypto.randomUUID(), file })))

  const pages: Page[] = [
    {
      path: '/',
      title: 'Uploads',
      icon: Images,
      key: 'u',
      component: () => (
        <UploadsPage
          uploads={uploads}
          client={client}
          identity={identity}
          shortcuts={shortcuts}
          toasts={toasts}
          sendButton={<DropZone onFiles={send} />}
        />
      ),
    },
    {
      path: '/console/fleet',
      title: 'Fleet',
      icon: Activity,
      key: 'f',
      component: lazy(async () => (await import('./fleet/fleet-page.tsx')).FleetPage),
    },
  ]

  return function App() {
    return (
      <Router base={new URL(apiUrl).pathname.replace(/\/$/, '')}>
        <Frame pages={pages} docsUrl={`${apiUrl}/docs`} {...frame} />
      </Router>
    )
  }
}
