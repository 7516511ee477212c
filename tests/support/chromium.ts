import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromiumProgram, findOnPath } from '@millrace/local/setup/system-programs.ts'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type CDPSession,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core'
import { holdLoop, letLoopEnd } from './event-loop-hold.ts'
import { shareInProcess } from './shared-resources.ts'

// The page's globals that are used here. The tests are type-checked with the services, which have no DOM types.
declare class DataTransfer {
  readonly items: { add(file: File): void }
}
declare class MutationObserver {
  constructor(callback: () => void)
  observe(target: object, options: { subtree: true; childList: true; characterData: true }): void
}
declare const document: { querySelectorAll(selector: string): Iterable<{ textContent: string | null }> }

/** Without these flags Chromium requests updates, experiments and safe browsing lists from its vendor. */
const quietFlags = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Chromium's sandbox does not work for root. */
const sandboxFlags = process.getuid?.() === 0 ? ['--no-sandbox'] : []

/** What Playwright's own start adds, as far as the tests need it. */
const testFlags = [
  '--headless',
  '--hide-scrollbars',
  '--mute-audio',
  '--force-color-profile=srgb',
  // A mouse, which a machine without a screen has not.
  '--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4',
  // Several pages at once, of which none may wait for the others.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-ipc-flooding-protection',
  '--disable-hang-monitor',
  '--disable-popup-blocking',
  '--disable-back-forward-cache',
  '--disable-breakpad',
  '--disable-dev-shm-usage',
  '--disable-extensions',
  '--disable-field-trial-config',
  // As Playwright does: the first two change what a page shows when, the last fails redirects that a test watches.
  '--disable-features=PaintHolding,HttpsUpgrades,AvoidCorsURLLoaderRestartOnRedirect',
]

function findChromium(): string {
  const path = process.env['CHROMIUM'] || findOnPath(chromiumProgram.names)
  if (!path) throw new Error(`${chromiumProgram.title} is not on PATH: ${chromiumProgram.alternative}.`)
  return path
}

/** Starts a Chromium without a window of one's own: the program in CHROMIUM, otherwise the system's. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: [...quietFlags, ...sandboxFlags] })
}

/** The Chromium of all files of the process. */
const sharedChromium = shareInProcess(startChromium)

/**
 * Connects to the Chromium that all files of the process share.
 *
 * @returns a browser whose contexts are its own; `close()` closes these, and the connection
 */
export async function openBrowser(): Promise<Browser> {
  const { address } = await sharedChromium()
  return chromium.connectOverCDP(address, { isLocal: true })
}

async function startChromium() {
  const profile = await mkdtemp(join(tmpdir(), 'millrace-chromium-'))
  const flags = [...testFlags, ...quietFlags, ...sandboxFlags, `--user-data-dir=${profile}`]
  // Of the process group of the test files, which the runner kills when their process has ended, however it has.
  const child = spawn(findChromium(), [...flags, '--remote-debugging-port=0', '--no-startup-window'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close')
  let output = ''
  const listening = new Promise<string>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < 10_000) output += text
      const [, address] = /^DevTools listening on (ws:\S+)$/m.exec(output) ?? []
      if (address !== undefined) resolve(address)
    })
  })
  const failed = ended.then(() => Promise.reject(new Error(`Chromium does not start.\n${output}`)))
  const address = await Promise.race([listening, failed])
  failed.catch(() => {})
  letLoopEnd(child)
  return {
    address,
    async close() {
      holdLoop(child)
      const browser = await chromium.connectOverCDP(address)
      const session = await browser.newBrowserCDPSession()
      // The connection ends before the response.
      await session.send('Browser.close').catch(() => {})
      await ended
      await rm(profile, { recursive: true })
    },
  }
}

/**
 * Opens a page and records its errors: uncaught exceptions, and errors and warnings on the console. Violations of the
 * content security policy and failed requests appear on the console, too.
 */
export async function openPage(context: BrowserContext, url: string) {
  const page = await context.newPage()
  return { page, errors: await visit(page, url) }
}

/** Loads a URL in a page, and records the page's errors as openPage() does. */
export async function visit(page: Page, url: string): Promise<string[]> {
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  await page.goto(url)
  return errors
}

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
    for (const session of interceptors.get(page) ?? []) await session.detach()
    interceptors.delete(page)
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

const visitTimeoutMs = 45_000

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

/** A file for the page: its bytes, or a size in bytes for a file of zeros that the page creates. */
export type PageFile = { name: string; type: string; bytes: Uint8Array } | ZeroFile
type ZeroFile = { name: string; type: string; size: number }

/** Drops files on an element, as with a mouse. */
export async function dropFiles(target: Locator, files: PageFile[]): Promise<void> {
  const parcels = files.map((file) =>
    'size' in file ? file : { ...file, bytes: Buffer.from(file.bytes).toString('base64') },
  )
  const dataTransfer = await target.page().evaluateHandle((parcels) => {
    const transfer = new DataTransfer()
    for (const parcel of parcels) {
      const bytes =
        'size' in parcel
          ? new Uint8Array(parcel.size)
          : Uint8Array.from(atob(parcel.bytes), (character) => character.charCodeAt(0))
      transfer.items.add(new File([bytes], parcel.name, { type: parcel.type }))
    }
    return transfer
  }, parcels)
  await target.dispatchEvent('drop', { dataTransfer })
}

/**
 * Records all states of a part of the page, because waiting for a short state may miss it.
 *
 * @returns a function that returns the texts of all elements that matched the selector, in order
 */
export async function recordTexts(page: Page, selector: string): Promise<() => Promise<string[]>> {
  const recorder = await page.evaluateHandle((selector) => {
    const texts: string[] = []
    const record = () => {
      for (const { textContent } of document.querySelectorAll(selector)) {
        if (textContent !== null && textContent !== texts.at(-1)) texts.push(textContent)
      }
    }
    new MutationObserver(record).observe(document, { subtree: true, childList: true, characterData: true })
    return texts
  }, selector)
  return () => recorder.jsonValue()
}
