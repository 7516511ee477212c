import { createClient } from '@millrace/client'
import { Activity, ChartNoAxesColumn, Images, KeyRound, ListChecks, Webhook } from 'lucide-preact'
import { lazy } from 'preact/compat'
import { Router } from 'wouter-preact'
import { createToasts } from './design/toasts.tsx'
import { Frame } from './frame/frame.tsx'
import { createIdentity } from './frame/identity.ts'
import type { Page } from './frame/page.ts'
import { createShortcuts } from './frame/shortcuts.ts'
import { createTheme } from './frame/theme.ts'
import { createOperations } from './operations/operations.ts'
import { createSending } from './sending/sending.ts'
import { SendingTray } from './sending/sending-tray.tsx'
import { UploadButton } from './sending/upload-button.tsx'
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
  const sending = createSending({ client, identity })
  const operator = { operations: createOperations({ client, identity }), toasts }

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
          sendButton={<UploadButton sending={sending} />}
          fileOf={sending.bytesOfUpload}
        />
      ),
    },
    {
      path: '/console/fleet',
      title: 'Fleet',
      icon: Activity,
      key: 'f',
      component: lazy(async () =>
        (await import('./fleet/fleet-page.tsx')).createFleetPage({ client, identity }),
      ),
    },
    {
      path: '/console/queues',
      title: 'Queues',
      icon: ListChecks,
      key: 'q',
      component: lazy(async () => {
        const { QueuesPage } = await import('./operations/queues/queues-page.tsx')
        return () => <QueuesPage {...operator} />
      }),
    },
    {
      path: '/console/webhooks',
      title: 'Webhooks',
      icon: Webhook,
      key: 'w',
      component: lazy(async () => {
        const { WebhooksPage } = await import('./operations/webhooks/webhooks-page.tsx')
        return () => <WebhooksPage {...operator} />
      }),
    },
    {
      path: '/console/keys',
      title: 'Keys',
      icon: KeyRound,
      key: 'k',
      component: lazy(async () => {
        const { KeysPage } = await import('./operations/keys/keys-page.tsx')
        return () => <KeysPage {...operator} />
      }),
    },
    {
      path: '/console/usage',
      title: 'Usage',
      icon: ChartNoAxesColumn,
      key: 's',
      component: lazy(async () => {
        const { UsagePage } = await import('./operations/usage/usage-page.tsx')
        return () => <UsagePage {...operator} />
      }),
    },
  ]

  return function App() {
    return (
      <Router base={new URL(apiUrl).pathname.replace(/\/$/, '')}>
        <Frame pages={pages} docsUrl={`${apiUrl}/docs`} {...frame}>
          <SendingTray sending={sending} shortcuts={frame.shortcuts} />
        </Frame>
      </Router>
    )
  }
}
