// First, so that what belongs to one part of the page comes after what belongs to all of it.
import './styles.css'

import { createClient } from '@millrace/client'
import { render } from 'preact'
import { App } from './app.tsx'
import { FleetPage } from './fleet/fleet-page.tsx'
import { createUploads } from './uploads/uploads.ts'

const root = document.querySelector('#app')
if (!root) throw new Error('The page has no #app.')
if (location.pathname === '/fleet') render(<FleetPage />, root)
else render(<App uploads={createUploads({ client: createClient() })} />, root)
