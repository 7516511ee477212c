import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { stopIntercepting } from './intercept-requests.ts'

const visitTimeoutMs = 45_000

/**
 * Makes visits to an origin: each as with a new browser, without cookies and stored data, but all in one page. The process of
 * a new page takes more CPU time than the rest of most tests.
 *
 * @param options of the browser's context, and `initScript`, which runs in the page before its own scripts
 */
export function createVisits(
  browser: Browser,
  origin: string,
  { initScript, ...options }: BrowserContextOptions & { initScript?: string } = {},
) {
  let open: { context: BrowserContext; page: Page } | undefined

  async function openPage() {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(visitTimeoutMs)
    if (initScript !== undefined) await context.addInitScript({ content: initScript })
    return { context, page: await context.newPage() }
  }

  /** Ends the visit before. */
  async function forget({ context, page }: { context: BrowserContext; page: Page }) {
    for (const other of context.pages()) if (other !== page) await other.close()
    page.removeAllListeners()
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await stopIntercepting(page)
    await context.setOffline(false)
    await page.emulateMedia({ colorScheme: null, reducedMotion: options.reducedMotion ?? null })
    if (options.viewport) await page.setViewportSize(options.viewport)
    // Not over an empty page: when its origin stays, the page keeps its process and its compiled scripts.
    await context.clearCookies()
    const session = await context.newCDPSession(page)
    await session.send('Page.enable')
    await session.send('Storage.clearDataForOrigin', { origin, storageTypes: 'all' })
    const source = 'localStorage.clear(); sessionStorage.clear()'
    const { identifier } = await session.send('Page.addScriptToEvaluateOnNewDocument', { source })
    page.once('load', async () => {
      await session.send('Page.removeScriptToEvaluateOnNewDocument', { identifier })
      await session.detach()
    })
  }

  return {
    /** Begins a visit. The page still shows what it did, until it is loaded. */
    async begin() {
      const earlier = open
      open = undefined
      if (earlier) {
        // A failed test may have left a page that does nothing any more.
        open = await forget(earlier).then(
          () => earlier,
          () => undefined,
        )
        if (!open) await earlier.context.close()
      }
      open ??= await openPage()
      return open
    },
    /** Opens a page in a browser of its own, which the test closes. */
    openPage,
  }
}
