// Imported first: the rules of a single component must come after the rules of the whole page.
import './styles.css'

import { createClient } from '@millrace/client'
import { render } from 'preact'
import { App } from './app.tsx'
import { FleetPage } from './fleet/fleet-page.tsx'
import { createUploads } from './uploads/uploads.ts'

const root = document.querySelector('#app')
if (!root) throw new Error('The page has no element with the id "app".')
if (location.pathname === '/fleet') render(<FleetPage />, root)
else render(<App uploads={createUploads({ client: createClient() })} />, root)
