import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page, Request } from 'playwright-core'
import { dropFiles, openBrowser, type PageFile, visit } from '../../support/chromium.ts'
import { interceptRequests, type RequestFate } from '../../support/intercept-requests.ts'
import { createVisits } from '../../support/page-visits.ts'
import { openSharedSystem } from './shared-system.ts'

/** A file of this size has two parts, of which the second is small. In bytes. */
export const largeBytes = 8 * 1024 ** 2 + 1_000

export const largeFile = (name: string): PageFile => ({ name, type: '', size: largeBytes })
export const smallFile = (name: string): PageFile => ({ name, type: 'text/plain', bytes: Buffer.from(name) })

/** Whether a request carries a part of a file to S3. */
function isPart(request: Request): boolean {
  return request.method() === 'PUT' && new URL(request.url()).searchParams.has('partNumber')
}

function partNumber(request: Request): number {
  return Number(new URL(request.url()).searchParams.get('partNumber'))
}

export type Tray = Awaited<ReturnType<typeof openTray>>

/** Tests cannot use the browser's dialog that gives handles of files. Without it, the page shows the other one. */
const withoutPicker = 'delete window.showOpenFilePicker'

/**
 * Opens Millrace and a browser.
 *
 * @returns what opens the console in a browser without cookies, and a directory for files
 */
export async function startTrays() {
  const { url, processes } = await openSharedSystem()
  const [browser, directory] = await Promise.all([openBrowser(), mkdtemp(join(tmpdir(), 'millrace-files-'))])
  const visits = createVisits(browser, url, {
    viewport: { width: 1100, height: 900 },
    initScript: withoutPicker,
  })
  return {
    url,
    directory,
    processes,
    /** Opens it for a new session. */
    async open() {
      const { page } = await visits.begin()
      return openTray(page, url)
    },
    /** Opens an empty page in another browser, which the test closes. */
    openBlank: visits.openPage,
    /** Opens it in another browser, which the test closes. */
    async openOther() {
      const { page } = await visits.openPage()
      return openTray(page, url)
    },
    async close() {
      await browser.close()
      await rm(directory, { recursive: true })
    },
  }
}

/** Opens the console in a page. @returns what tests do with its tray */
export async function openTray(page: Page, url: string) {
  const context = page.context()
  const errors = await visit(page, url)
  await untilLoaded(page)
  const tray = () => page.getByRole('region', { name: 'Sending files' })
  const row = (filename: string) => page.locator(`.sending-row[aria-label="${filename}"]`)

  /** Returns the session's uploads. */
  async function list(query = ''): Promise<{ id: string; state: string; filename: string; size: number }[]> {
    const response = await context.request.get(`${url}/uploads${query}`)
    return (await response.json()).uploads
  }

  return {
    ...{ page, errors, context, tray, row, list },
    untilLoaded: () => untilLoaded(page),
    /** The line of all files. */
    title: (text: string | RegExp) => tray().locator('.tray-title').filter({ hasText: text }),
    /** What a row says about its file. */
    state: (filename: string, text: string | RegExp) =>
      row(filename).locator('.sending-row-state').filter({ hasText: text }),
    button: (name: string) => tray().getByRole('button', { name, exact: true }),
    drop: (files: PageFile[]) => dropFiles(page.locator('body'), files),
    watchParts: (fate?: RequestFate) => watchParts(page, fate),

    /** Chooses a file in the dialog that a click opens. */
    async chooseFile(file: string, click: () => Promise<void>): Promise<void> {
      const chooser = page.waitForEvent('filechooser')
      // Playwright enables the interception of Chromium's dialog with a message of its own, which must come first.
      await page.evaluate(() => 0)
      await click()
      await (await chooser).setFiles(file)
    },

    /** Waits until the session has no upload whose file has not come. */
    async untilNoneIsAwaited(): Promise<void> {
      while ((await list()).some(({ state }) => state === 'awaiting')) {
        await page.waitForResponse((response) => response.request().method() === 'DELETE')
      }
    },
  }
}

async function untilLoaded(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Upload', exact: true }).waitFor()
}

/**
 * Watches the requests that carry parts to S3.
 *
 * @param fate what becomes of second parts until `release()`
 */
async function watchParts(page: Page, fate: RequestFate = 'sent') {
  let secondPart = fate
  const accepted: number[] = []
  const firstHeld = Promise.withResolvers<void>()
  const intercepted = await interceptRequests(page, '*partNumber=2&*', () => {
    if (secondPart === 'held') firstHeld.resolve()
    return secondPart
  })
  page.on('response', (response) => {
    if (isPart(response.request()) && response.ok()) accepted.push(partNumber(response.request()))
  })
  return {
    /** Resolves when the second part of a file is held. */
    held: firstHeld.promise,
    /** The parts that S3 has accepted, in order. */
    accepted: () => accepted.toSorted((a, b) => a - b),
    /** Resolves when S3 has accepted a part. */
    async untilAccepted(part: number): Promise<void> {
      while (!accepted.includes(part))
        await page.waitForEvent('response', (response) => isPart(response.request()))
    },
    /** Gives what is held, and all further second parts, a response with a status. */
    async refuse(status: number): Promise<void> {
      secondPart = status
      await intercepted.release(status)
    },
    /** Sends what is held, and all further parts. */
    async release(): Promise<void> {
      secondPart = 'sent'
      await intercepted.release()
    },
  }
}
