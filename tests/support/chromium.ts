import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromiumProgram, findOnPath } from '@millrace/local/setup/system-programs.ts'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'
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
  // Without a graphics card, each frame of an animation costs as much as a test's step.
  '--force-prefers-reduced-motion',
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
  // A page that is visited again may still say something of its visit before, such as a request without the old cookies.
  page.once('framenavigated', () => errors.splice(0))
  await page.goto(url)
  return errors
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
