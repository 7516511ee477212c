import { chromiumProgram, findOnPath } from '@millrace/local/setup/system-programs.ts'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'

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

/** Starts Chromium without a window: the program in CHROMIUM, otherwise the system's. */
export function launchChromium(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] || findOnPath(chromiumProgram.names)
  if (!executablePath)
    throw new Error(`${chromiumProgram.title} is not on PATH: ${chromiumProgram.alternative}.`)
  // Chromium's sandbox does not work for root.
  const sandboxFlags = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return chromium.launch({ executablePath, args: [...quietFlags, ...sandboxFlags] })
}

/**
 * Opens a page and records its errors: uncaught exceptions, and errors and warnings on the console. Violations of the
 * content security policy and failed requests appear on the console, too.
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
