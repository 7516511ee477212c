import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page, Request, Route } from 'playwright-core'
import { dropFiles, launchChromium, openPage, type PageFile } from '../../support/chromium.ts'
import { createSandbox, startWithNode } from '../../support/start-millrace.ts'

/** A file of this size has two parts, in bytes. */
export const largeBytes = 9e6

export const largeFile = (name: string): PageFile => ({ name, type: '', size: largeBytes })
export const smallFile = (name: string): PageFile => ({ name, type: 'text/plain', bytes: Buffer.from(name) })

/** Whether a request carries a part of a file to S3. */
export function isPart(request: Request): boolean {
  return request.method() === 'PUT' && new URL(request.url()).searchParams.has('partNumber')
}

export function partNumber(request: Request): number {
  return Number(new URL(request.url()).searchParams.get('partNumber'))
}

export type Tray = Awaited<ReturnType<typeof openTray>>

/** Tests cannot use the browser's dialog that gives handles of files. Without it, the page shows the other one. */
const withoutPicker = 'delete window.showOpenFilePicker'

/**
 * Starts Millrace and a browser.
 *
 * @returns what opens the console in a browser without cookies, and a directory for files
 */
export async function startTrays(parameters: string[] = []) {
  const sandbox = await createSandbox()
  const system = startWithNode(sandbox, ['--port', '0', ...parameters])
  const [url, browser, directory] = await Promise.all([
    system.ready,
    launchChromium(),
    mkdtemp(join(tmpdir(), 'millrace-files-')),
  ])
  return {
    url,
    browser,
    directory,
    processes: sandbox.processes,
    async open() {
      const context = await browser.newContext({ viewport: { width: 1100, height: 900 } })
      context.setDefaultTimeout(45_000)
      await context.addInitScript({ content: withoutPicker })
      return openTray(context, url)
    },
    async close() {
      await browser.close()
      system.signal('SIGTERM')
      await system.ended
      await sandbox.remove()
      await rm(directory, { recursive: true })
    },
  }
}

/** Opens the console in a page of its own. @returns what tests do with its tray */
export async function openTray(context: BrowserContext, url: string) {
  const { page, errors } = await openPage(context, url)
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
    watchParts: (holds?: (part: number) => boolean) => watchParts(page, holds),

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
 * Watches the requests that carry parts to S3, and can hold some of them.
 *
 * @param holds which parts do not leave the browser until `release()`
 */
async function watchParts(page: Page, holds: (part: number) => boolean = () => false) {
  let held: Route[] = []
  let isHolding = true
  const accepted: number[] = []
  const firstHeld = Promise.withResolvers<void>()
  await page.route(
    (address) => address.searchParams.has('partNumber'),
    async (route, request) => {
      if (!isHolding || !isPart(request) || !holds(partNumber(request))) return route.continue()
      held.push(route)
      firstHeld.resolve()
    },
  )
  page.on('response', (response) => {
    if (isPart(response.request()) && response.ok()) accepted.push(partNumber(response.request()))
  })
  return {
    /** Resolves when the first part is held. */
    held: firstHeld.promise,
    /** The parts that S3 has accepted, in order. */
    accepted: () => accepted.toSorted((a, b) => a - b),
    /** Resolves when S3 has accepted a part. */
    async untilAccepted(part: number): Promise<void> {
      while (!accepted.includes(part))
        await page.waitForEvent('response', (response) => isPart(response.request()))
    },
    async release(): Promise<void> {
      isHolding = false
      const routes = held
      held = []
      // What the page has aborted cannot be continued.
      await Promise.all(routes.map((route) => route.continue().catch(() => undefined)))
    },
  }
}
