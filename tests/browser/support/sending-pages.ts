import { once } from 'node:events'
import { createServer } from 'node:http'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient } from '@millrace/client'
import type { Browser, BrowserContext } from 'playwright-core'
import { launchChromium, openPage } from '../../support/chromium.ts'
import { createSandbox, startWithNode } from '../../support/start-millrace.ts'

/** Where a page lies, as seen from the API: `http://localhost` with two ports, and `http://127.0.0.1`. */
export type Place = 'the same origin' | 'the same site' | 'another site'
/** What says whose files a page sends. */
export type Credential = 'a cookie' | 'a token'

export type SendingPages = Awaited<ReturnType<typeof startSendingPages>>
export type SendingPage = Awaited<ReturnType<SendingPages['open']>>

/** All that can send files. A page of another site has no cookie. */
export const senders: readonly (readonly [Place, Credential])[] = [
  ['the same origin', 'a cookie'],
  ['the same origin', 'a token'],
  ['the same site', 'a cookie'],
  ['the same site', 'a token'],
  ['another site', 'a token'],
]

/** What the pages of other origins contain: the element in which Uppy's Dashboard is shown. */
const html = '<!doctype html><link rel="icon" href="data:,"><title>app</title><main id="uppy"></main>'

/**
 * Starts Millrace, a browser, and a server of pages of other origins, which may call it.
 *
 * @returns functions that open pages and read uploads
 */
export async function startSendingPages() {
  const apiKey = newApiKey('shop', ['uploads:read', 'uploads:write', 'tokens'])
  const frontend = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(html)
  }).listen(0, '127.0.0.1')
  await once(frontend, 'listening')
  const address = frontend.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  const { port } = address
  const sandbox = await createSandbox()
  const millrace = startWithNode(sandbox, ['--port', '0'], {
    API_KEYS: apiKey.entry,
    ALLOWED_ORIGINS: `http://localhost:${port},http://127.0.0.1:${port}`,
  })
  const [api, browser] = await Promise.all([
    millrace.ready.then((url) => new URL(url).origin),
    launchChromium(),
  ])
  const { data } = await createClient({ origin: api, apiKey: apiKey.key }).api.POST('/tokens', {
    body: { user: 'ada', expiresIn: 3600, scopes: ['uploads:read', 'uploads:write'] },
  })
  if (!data) throw new Error('No token was made.')
  const { token } = data
  const addresses: Record<Place, string> = {
    'the same origin': api,
    'the same site': `http://localhost:${port}`,
    'another site': `http://127.0.0.1:${port}`,
  }

  return {
    api,
    token,
    browser,
    /**
     * Opens a page in a browser without cookies.
     *
     * @param script runs in the page before its own scripts, also when it is loaded again
     */
    async open(place: Place, credential: Credential, script: string) {
      const context = await openContext(browser, script)
      const client =
        credential === 'a token'
          ? createClient({ origin: api, apiKey: token })
          : createClient({ origin: api, fetch: withCookiesOf(context) })
      return {
        context,
        client,
        ...(await openPage(context, addresses[place])),
        /** The API's origin as the page's code writes it. */
        millrace: place === 'the same origin' ? '' : api,
      }
    },
    async close() {
      await browser.close()
      frontend.close()
      millrace.signal('SIGTERM')
      await millrace.ended
      await sandbox.remove()
    },
  }

  function withCookiesOf(context: BrowserContext) {
    return async (request: Request) => {
      const cookies = await context.cookies(api)
      request.headers.set('cookie', cookies.map(({ name, value }) => `${name}=${value}`).join('; '))
      return fetch(request)
    }
  }
}

async function openContext(browser: Browser, script: string) {
  const context = await browser.newContext()
  await context.addInitScript({ content: script })
  return context
}
