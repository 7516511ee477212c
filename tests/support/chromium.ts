import { chromiumProgram, findOnPath } from '@millrace/local/setup/system-programs.ts'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'

// What is used of the page's own globals. The tests are checked together with the services, which have no DOM.
declare class DataTransfer {
  readonly items: { add(file: File): void }
}
declare class MutationObserver {
  constructor(callback: () => void)
  observe(target: object, options: { subtree: true; childList: true; characterData: true }): void
}
declare const document: { querySelectorAll(selector: string): Iterable<{ textContent: string | null }> }

/** Chromium asks its maker for updates, experiments and safe browsing lists unless it is told not to. */
const quietFlags = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts the system's Chromium, or the one that CHROMIUM names, without a window. */
export function launchChromium(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] || findOnPath(chromiumProgram.names)
  if (!executablePath)
    throw new Error(`${chromiumProgram.title} is not on PATH: ${chromiumProgram.alternative}.`)
  // Chromium's sandbox does not work for root.
  const sandboxFlags = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath, args: [...quietFlags, ...sandboxFlags] })
}

/**
 * Opens a page that keeps all that a developer would see as an error: uncaught exceptions, and messages of
 * the console, where violations of the content security policy and failed requests appear as well.
 */
export async function openPage(context: BrowserContext, url: string) {
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  await page.goto(url)
  return { page, errors }
}

/** A file for the page: its bytes, or how many zeros to make there. */
export type PageFile = { name: string; type: string; bytes: Uint8Array } | ZeroFile
type ZeroFile = { name: string; type: string; size: number }

/** Drops files on an element, as a mouse would. */
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
 * Keeps every state that a part of the page goes through, however short, since waiting for one may miss it.
 *
 * @returns a function that gives the texts of all elements that matched the selector, in their order
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
