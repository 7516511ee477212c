// Imported first: the rules of a single component must come after the rules of the whole page.
import './styles.css'

import { createClient } from '@millrace/client'
import { render } from 'preact'
import { App } from './app.tsx'
import { FleetPage } from './fleet/fleet-page.tsx'
import { createUploads } from './uploads/uploads.ts'

const root = document.querySelector('#app')
if (!root) throw new Error('The page has no element with the id "app".')
// The API's address, which may have a path: the page's element `base`.
const apiUrl = document.baseURI.replace(/\/$/, '')
if (location.href.startsWith(`${apiUrl}/fleet`)) render(<FleetPage />, root)
else render(<App uploads={createUploads({ client: createClient({ origin: apiUrl }) })} />, root)
