import { randomUUID } from 'node:crypto'
import { createClient } from '@millrace/client'
import type { Browser, BrowserContext } from 'playwright-core'
import { openBrowser, openPage } from '../../support/chromium.ts'
import { apiKeys, openSharedSystem } from './shared-system.ts'

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
 * Opens Millrace, a browser, and pages of other origins, which may call it. The token is of a user of its own.
 *
 * @returns functions that open pages and read uploads
 */
export async function startSendingPages() {
  const system = await openSharedSystem()
  const api = system.url
  system.serve((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(html)
  })
  const browser = await openBrowser()
  const { data } = await createClient({ origin: api, apiKey: apiKeys.sendingPages.key }).api.POST('/tokens', {
    body: { user: randomUUID(), expiresIn: 3600, scopes: ['uploads:read', 'uploads:write'] },
  })
  if (!data) throw new Error('No token was made.')
  const { token } = data
  const addresses: Record<Place, string> = {
    'the same origin': api,
    'the same site': system.sameSite,
    'another site': system.otherSite,
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
    close: () => browser.close(),
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
