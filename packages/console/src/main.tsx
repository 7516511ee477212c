// First, so that what belongs to one part of the page comes after what belongs to all of it.
import './styles.css'

import { render } from 'preact'
import { createApi } from './api.ts'
import { App } from './app.tsx'
import { createUploads } from './uploads.ts'

const root = document.querySelector('#app')
if (!root) throw new Error('The page has no #app.')
const api = createApi((...request) => fetch(...request))
render(<App uploads={createUploads({ api })} />, root)
