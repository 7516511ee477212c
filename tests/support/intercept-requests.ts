import type { CDPSession, Page } from 'playwright-core'

/** What intercepts the requests of a page. */
const interceptors = new WeakMap<Page, CDPSession[]>()

/** What becomes of a request: it goes on, waits for `release()`, loses its connection, or gets a response with a status. */
export type RequestFate = 'sent' | 'held' | 'lost' | number

/**
 * Decides about some requests of a page before they leave the browser.
 *
 * Playwright's `route` can do the same, but then Chromium hands over every request of the page with its body: the bytes of a
 * large file as base64, which takes more CPU time than all else of a test.
 *
 * @param urlPattern the URLs that are asked about, with `*` for any text
 * @param decide is asked about each request, but not about a CORS preflight
 */
export async function interceptRequests(
  page: Page,
  urlPattern: string,
  decide: (request: { url: string; headers: Record<string, string> }) => RequestFate,
) {
  const session = await page.context().newCDPSession(page)
  interceptors.set(page, [...(interceptors.get(page) ?? []), session])
  let held: string[] = []
  const carryOut = (requestId: string, fate: RequestFate) => {
    if (fate === 'held') return held.push(requestId)
    if (fate === 'sent') return session.send('Fetch.continueRequest', { requestId })
    if (fate === 'lost')
      return session.send('Fetch.failRequest', { requestId, errorReason: 'ConnectionReset' })
    const responseHeaders = [{ name: 'access-control-allow-origin', value: '*' }]
    return session.send('Fetch.fulfillRequest', { requestId, responseCode: fate, responseHeaders })
  }
  session.on('Fetch.requestPaused', async ({ requestId, request: { url, method, headers } }) => {
    // What the page has aborted meanwhile has no fate any more.
    await Promise.resolve(
      carryOut(requestId, method === 'OPTIONS' ? 'sent' : decide({ url, headers })),
    ).catch(() => undefined)
  })
  await session.send('Fetch.enable', { patterns: [{ urlPattern }] })
  return {
    /** Decides about what is held. Later requests are decided about as before. */
    async release(fate: Exclude<RequestFate, 'held'> = 'sent'): Promise<void> {
      const requestIds = held
      held = []
      for (const requestId of requestIds) {
        await Promise.resolve(carryOut(requestId, fate)).catch(() => undefined)
      }
    },
  }
}

/** Lets all requests of a page go on again. */
export async function stopIntercepting(page: Page): Promise<void> {
  for (const session of interceptors.get(page) ?? []) await session.detach()
  interceptors.delete(page)
}
