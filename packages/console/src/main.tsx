// Imported first: the rules of a single component must come after the rules of the whole page.
import './design/tokens.css'
import './design/base.css'

import { render } from 'preact'
import { createApp } from './app.tsx'

const root = document.querySelector('#app')
if (!root) throw new Error('The page has no element with the id "app".')
// The API's address: the page's element `base`.
const App = createApp(document.baseURI.replace(/\/$/, ''))
render(<App />, root)
