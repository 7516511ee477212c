import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page, Request, Route } from 'playwright-core'
import * as assert from 'uvu/assert'
import { dropFiles, launchChromium, openPage, recordTexts } from '../support/chromium.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { samplePicture, truncated } from '../worker/support/sample-images.ts'

// The page's globals that are used here. The tests are type-checked with the services, which have no DOM types.
declare const axe: {
  run(options: object): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>
}
declare const navigator: { storage: { getDirectory(): Promise<OpfsDirectory> } }
type OpfsFile = { createWritable(): Promise<{ write(data: unknown): Promise<void>; close(): Promise<void> }> }
type OpfsDirectory = { getFileHandle(name: string, options?: { create: boolean }): Promise<OpfsFile> }

const MB = 1e6
/** This file has two parts. */
const largeBytes = 9 * MB
const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const picture = await samplePicture(300, 200).jpeg().toBuffer()

/** The browser's dialog that gives handles cannot be used by tests: without it, the page shows the other one. */
const withoutPicker = 'delete window.showOpenFilePicker'

const test = suite('sending in the console', {}, { limitMs: 120_000 })

let sandbox: Sandbox
let system: ReturnType<typeof startWithNode>
let url: string
let browser: Browser
let context: BrowserContext
let page: Page
let errors: string[]
let directory: string

test.before(async () => {
  sandbox = await createSandbox()
  system = startWithNode(sandbox, ['--port', '0', '--api', '2'])
  ;[url, browser, directory] = await Promise.all([
    system.ready,
    launchChromium(),
    mkdtemp(join(tmpdir(), 'millrace-files-')),
  ])
})
test.after(async () => {
  await browser?.close()
  system?.signal('SIGTERM')
  await system?.ended
  await sandbox?.remove()
  await rm(directory, { recursive: true })
})
test.before.each(async () => {
  context = await browser.newContext({ viewport: { width: 1100, height: 900 } })
  context.setDefaultTimeout(45_000)
  await context.addInitScript({ content: withoutPicker })
  await open()
})
test.after.each(() => context.close())

async function open() {
  ;({ page, errors } = await openPage(context, url))
  await page.getByRole('button', { name: 'Upload', exact: true }).waitFor()
}

const tray = () => page.getByRole('region', { name: 'Sending files' })
const title = (text: string | RegExp) => tray().locator('.tray-title').filter({ hasText: text })
const row = (filename: string) =>
  page.getByRole('listitem', { name: filename, exact: true }).and(page.locator('.sending-row'))
const state = (filename: string, text: string | RegExp) =>
  row(filename).locator('.sending-row-state').filter({ hasText: text })
const button = (name: string) => tray().getByRole('button', { name, exact: true })
const drop = (files: Parameters<typeof dropFiles>[1]) => dropFiles(page.locator('body'), files)
const large = (name: string) => ({ name, type: '', size: largeBytes })
const small = (name: string) => ({ name, type: 'text/plain', bytes: Buffer.from(name) })

type Listed = { id: string; state: string; filename: string; size: number }

/** Returns the session's uploads. */
async function list(query = ''): Promise<Listed[]> {
  const response = await context.request.get(`${url}/uploads${query}`)
  assert.is(response.status(), 200)
  return (await response.json()).uploads
}

const isPart = (request: Request) =>
  request.method() === 'PUT' && new URL(request.url()).searchParams.has('partNumber')
const partNumber = (request: Request) => Number(new URL(request.url()).searchParams.get('partNumber'))

/**
 * Watches the requests that carry bytes to S3, and can hold some of them.
 *
 * @param holds which parts do not leave the browser until `release()`
 */
async function watchParts(holds: (part: number) => boolean = () => false) {
  let held: Route[] = []
  let isHolding = true
  const accepted: number[] = []
  const waiting = Promise.withResolvers<void>()
  await page.route(
    (address) => address.searchParams.has('partNumber'),
    async (route, request) => {
      if (!isHolding || !isPart(request) || !holds(partNumber(request))) return route.continue()
      held.push(route)
      waiting.resolve()
    },
  )
  page.on('response', (response) => {
    if (isPart(response.request()) && response.ok()) accepted.push(partNumber(response.request()))
  })
  return {
    /** Resolves when the first part is held. */
    held: waiting.promise,
    /** The parts that S3 has accepted, in order. */
    accepted: () => accepted.toSorted((a, b) => a - b),
    /** Resolves when S3 has accepted a part. */
    async untilAccepted(part: number) {
      while (!accepted.includes(part)) {
        await page.waitForEvent('requestfinished', isPart)
      }
    },
    async release() {
      isHolding = false
      const routes = held
      held = []
      // What the page has aborted cannot be continued.
      await Promise.all(routes.map((route) => route.continue().catch(() => undefined)))
    },
  }
}

test('a dropped photo is sent, processed, announced and folded away', async () => {
  const states = await recordTexts(page, '.sending-row-state')
  await drop([{ name: 'harbour.jpg', type: 'image/jpeg', bytes: picture }])
  await state('harbour.jpg', 'Ready').waitFor()
  await title('1 file uploaded').waitFor()
  await page.getByRole('status').filter({ hasText: 'harbour.jpg is ready.' }).waitFor({ state: 'attached' })
  await row('harbour.jpg').locator('canvas.is-drawn').waitFor()
  assert.equal(
    (await list()).map(({ state }) => state),
    ['ready'],
  )
  assert.ok((await states()).length > 1)
  await button('Close').click()
  await tray().waitFor({ state: 'detached' })
  assert.equal(errors, [])
})

test('a damaged photo stays in the tray with its reason until it is removed', async () => {
  await drop([{ name: 'half.jpg', type: 'image/jpeg', bytes: truncated(picture) }, small('note.txt')])
  await state('half.jpg', 'The JPEG is incomplete: the file ends before the end of the image.').waitFor()
  await title('1 file needs attention').waitFor()
  await button('Remove from the list: half.jpg').click()
  await row('half.jpg').waitFor({ state: 'detached' })
  assert.equal(errors, [])
})

test('a pasted picture gets the time as its name, and a paste into a field sends nothing', async () => {
  const paste = (selector: string) =>
    page
      .locator(selector)
      .first()
      .evaluate(
        (element, bytes) => {
          const clipboardData = new DataTransfer()
          clipboardData.items.add(new File([Uint8Array.from(bytes)], 'image.png', { type: 'image/png' }))
          element.dispatchEvent(
            new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }),
          )
        },
        [...Buffer.from('no picture')],
      )
  await paste('input[type=radio]')
  await paste('body')
  await page.locator('.sending-row').waitFor()
  assert.match(
    (await page.locator('.sending-row').getAttribute('aria-label')) ?? '',
    /^Pasted \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png$/,
  )
  assert.is(await page.locator('.sending-row').count(), 1)
})

test('a dropped folder keeps its paths, by which the API finds its files', async () => {
  const album = join(directory, 'album')
  await mkdir(join(album, 'deep'), { recursive: true })
  await writeFile(join(album, 'one.txt'), 'one')
  await writeFile(join(album, 'deep', 'two.txt'), 'two')
  const session = await context.newCDPSession(page)
  const data = { items: [], files: [album], dragOperationsMask: 1 }
  await session.send('Input.dispatchDragEvent', { type: 'dragEnter', x: 500, y: 500, data })
  await session.send('Input.dispatchDragEvent', { type: 'dragOver', x: 500, y: 500, data })
  await page.getByText('Drop to upload').waitFor()
  await session.send('Input.dispatchDragEvent', { type: 'drop', x: 500, y: 500, data })
  await title('2 files uploaded').waitFor()
  await page.getByText('Drop to upload').waitFor({ state: 'detached' })
  const names = (await list('?prefix=album/')).map(({ filename }) => filename)
  assert.equal(names.toSorted(), ['album/deep/two.txt', 'album/one.txt'])
  assert.equal(errors, [])
})

test('the keyboard opens the dialog and the menu', async () => {
  const file = join(directory, 'keyboard.txt')
  await writeFile(file, 'keyboard')
  const chooser = page.waitForEvent('filechooser')
  await page.evaluate(() => 0)
  await page.keyboard.press('u')
  await (await chooser).setFiles(file)
  await title('1 file uploaded').waitFor()

  await page.getByRole('button', { name: 'More ways to upload' }).press('Enter')
  await page.getByRole('menuitem', { name: 'Files' }).and(page.locator(':focus')).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.getByRole('menuitem', { name: 'Folder' }).and(page.locator(':focus')).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('menuitem', { name: 'Folder' }).waitFor({ state: 'hidden' })

  await page.keyboard.press('?')
  await page.getByRole('dialog').getByText('Upload files').waitFor()
  assert.equal(errors, [])
})

test('two thousand files at once are shown by few rows, and can be paused and cancelled together', async () => {
  await page.route(isStorage, (route, request) => (request.method() === 'PUT' ? undefined : route.continue()))
  await drop(Array.from({ length: 2_000 }, (_, index) => small(`note ${index}.txt`)))
  await title('Sending 1 of 2000').waitFor()
  assert.ok((await page.locator('.sending-row').count()) < 30)
  await page.locator('.sending-rows').evaluate((rows) => {
    if ('scrollTop' in rows) rows.scrollTop = 1e9
  })
  await row('note 1999.txt').waitFor()
  await button('Pause all').click()
  await title('2000 files paused').waitFor()
  await button('Cancel all').click()
  await page
    .getByRole('dialog', { name: 'Cancel 2000 files?' })
    .getByRole('button', { name: 'Cancel them' })
    .click()
  await title('Cancelled').waitFor()
  await untilNoneIsAwaited()
  assert.equal(errors, [])
})

test('a paused file goes on with what S3 does not have', async () => {
  const parts = await watchParts((part) => part === 2)
  await drop([large('film.bin')])
  await parts.held
  await parts.untilAccepted(1)
  await button('Pause film.bin').click()
  await state('film.bin', /^Paused at \d+\s%$/).waitFor()
  await title('1 file paused').waitFor()
  await parts.release()
  assert.equal(parts.accepted(), [1])
  await button('Resume film.bin').click()
  await title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await list()).map(({ size, state }) => [size, state]),
    [[largeBytes, 'ready']],
  )
  assert.equal(errors, [])
})

test('a cancelled file is erased, and can be uploaded again', async () => {
  const parts = await watchParts(() => true)
  const erased = page.waitForResponse((response) => response.request().method() === 'DELETE')
  await drop([large('no.bin')])
  await parts.held
  await button('Cancel no.bin').click()
  await state('no.bin', 'Cancelled').waitFor()
  assert.is((await context.request.get((await erased).url())).status(), 404)
  await parts.release()
  await button('Upload again: no.bin').click()
  await title('1 file uploaded').waitFor()
  assert.is((await list()).length, 1)
  assert.equal(errors, [])
})

test('a failed file goes on with what S3 does not have', async () => {
  const parts = await watchParts()
  let isFailing = true
  await page.route(
    (address) => address.searchParams.has('partNumber'),
    (route, request) => {
      if (!isFailing || !isPart(request) || partNumber(request) !== 2) return route.fallback()
      return route.fulfill({ status: 400, headers: { 'access-control-allow-origin': new URL(url).origin } })
    },
  )
  await drop([large('stop.bin')])
  await state('stop.bin', 'The storage returned status 400.').waitFor()
  await title('1 file needs attention').waitFor()
  isFailing = false
  await button('Try again: stop.bin').click()
  await title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.is((await list()).length, 1)
})

test('after a reload the same file, chosen again, continues the same upload', async () => {
  const file = join(directory, 'cut.bin')
  await writeFile(file, Buffer.alloc(largeBytes, 'x'))
  const parts = await watchParts((part) => part === 2)
  await chooseFile(file)
  await parts.held
  await parts.untilAccepted(1)
  const asked = page.waitForEvent('dialog')
  const reloaded = page.reload()
  await (await asked).accept()
  await reloaded

  await title('1 file was interrupted').waitFor()
  await tray().getByText('Choose it again to go on.').waitFor()
  const [before] = await list()
  await parts.release()
  const chooser = page.waitForEvent('filechooser')
  await button('Choose it again').click()
  await (await chooser).setFiles(file)
  await title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await list()).map(({ id, state }) => [id, state]),
    [[before?.id, 'ready']],
  )

  await page.reload()
  await page.getByRole('button', { name: 'Upload', exact: true }).waitFor()
  assert.is(await tray().count(), 0)
})

test('after a reload the browser opens files again that it may read, and asks for others', async () => {
  await context.addInitScript({
    content: `
      window.showOpenFilePicker = async () => [await (await navigator.storage.getDirectory()).getFileHandle('kept.bin')]
      FileSystemHandle.prototype.queryPermission = async () => sessionStorage.permission
      FileSystemHandle.prototype.requestPermission = async () => 'granted'
    `,
  })
  for (const permission of ['prompt', 'granted']) {
    await page.close()
    await open()
    await page.evaluate(
      async ({ permission, size }) => {
        Object.assign(globalThis, { permission })
        const opfs = await navigator.storage.getDirectory()
        const writable = await (await opfs.getFileHandle('kept.bin', { create: true })).createWritable()
        await writable.write(new Uint8Array(size))
        await writable.close()
      },
      { permission, size: largeBytes },
    )
    await page.evaluate(`sessionStorage.permission = '${permission}'`)
    const parts = await watchParts((part) => part === 2)
    page.on('dialog', (dialog) => dialog.accept())
    await page.keyboard.press('u')
    await parts.held
    await parts.untilAccepted(1)
    await page.reload()
    if (permission === 'prompt') {
      await title('1 file was interrupted').waitFor()
      await parts.release()
      await button('Go on').click()
    } else await parts.release()
    await title('1 file uploaded').waitFor()
    assert.equal(parts.accepted(), [1, 2])
  }
  assert.is((await list()).length, 2)
})

test('an interrupted file that is forgotten is erased', async () => {
  const parts = await watchParts(() => true)
  page.on('dialog', (dialog) => dialog.accept())
  await drop([large('forget.bin'), small('other.txt')])
  await parts.held
  await page.reload()
  await title('1 file was interrupted').waitFor()
  await button('Forget').click()
  await tray().waitFor({ state: 'detached' })
  await untilNoneIsAwaited()
  await page.reload()
  await page.getByRole('button', { name: 'Upload', exact: true }).waitFor()
  assert.is(await tray().count(), 0)
})

test('without a network the files wait, and go on by themselves', async () => {
  const parts = await watchParts((part) => part === 2)
  await drop([large('train.bin'), small('ticket.txt')])
  await parts.held
  await parts.untilAccepted(1)
  await context.setOffline(true)
  await title('Waiting for the network').waitFor()
  await state('train.bin', 'Waiting for the network').waitFor()
  await page
    .getByRole('status')
    .filter({ hasText: 'Waiting for the network.' })
    .waitFor({ state: 'attached' })
  await drop([small('later.txt')])
  await state('later.txt', 'Queued').waitFor()
  await parts.release()
  await context.setOffline(false)
  await title('3 files uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.is((await list()).length, 3)
  assert.equal(
    errors.filter((error) => !error.includes('net::ERR_INTERNET_DISCONNECTED')),
    [],
  )
})

test('API instances and a worker that are killed are a short wait', async () => {
  const parts = await watchParts((part) => part === 2)
  await drop([
    large('killed.bin'),
    { name: 'photo.jpg', type: 'image/jpeg', bytes: await samplePicture(4000, 3000).jpeg().toBuffer() },
  ])
  await parts.held
  kill('packages/api/src/main.ts')
  kill('packages/worker/src/main.ts')
  await parts.release()
  await title('2 files uploaded').waitFor({ timeout: 50_000 })
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await list()).map(({ state }) => state),
    ['ready', 'ready'],
  )
})

test('pages side by side send their own files', async () => {
  const parts = await watchParts(() => true)
  await drop([large('first.bin')])
  await parts.held
  const first = page
  await open()
  await drop([small('second.txt')])
  await title('1 file uploaded').waitFor()
  assert.is(await row('first.bin').count(), 0)
  await page.close()
  page = first

  const other = await browser.newContext()
  const { page: otherPage, errors: otherErrors } = await openPage(other, url)
  await dropFiles(otherPage.locator('body'), [small('first.bin')])
  await otherPage.getByText('1 file uploaded').waitFor()
  await other.close()
  await parts.release()
  await title('1 file uploaded').waitFor()
  assert.equal((await list()).map(({ filename }) => filename).toSorted(), ['first.bin', 'second.txt'])
  assert.equal([...errors, ...otherErrors], [])
})

test('the open tray has no barriers, in both color schemes and on a phone of 360 pixels', async () => {
  const parts = await watchParts(() => true)
  const longName = `${'a very long file name '.repeat(8)}.jpg`.trim()
  await drop([
    large('axe.bin'),
    large('queued.bin'),
    { name: longName, type: 'image/jpeg', bytes: truncated(picture) },
  ])
  await parts.held
  await state(longName, 'The JPEG is incomplete').waitFor()
  // The page's policy forbids scripts from elsewhere. A debugger may evaluate them.
  await page.evaluate(axeSource)
  for (const [colorScheme, width] of [
    ['light', 1100],
    ['dark', 1100],
    ['light', 360],
    ['dark', 360],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: 780 })
    const found = await page.evaluate(
      async () => (await axe.run({ include: [['.tray'], ['.upload-button']] })).violations,
    )
    const texts = found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    assert.equal(texts, [], `${colorScheme}, ${width} px`)
    assert.is(await page.evaluate<number>('document.documentElement.scrollWidth'), width)
  }
  await parts.release()
  assert.equal(errors, [])
})

test.run()

async function chooseFile(file: string): Promise<void> {
  const chooser = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: 'Upload', exact: true }).click()
  await (await chooser).setFiles(file)
}

function isStorage(address: URL): boolean {
  return address.origin !== new URL(url).origin
}

/** Kills all processes of a service, as a machine's end does. The system starts others. */
function kill(command: string): void {
  const processes = sandbox.processes().filter((each) => each.command.includes(command))
  assert.ok(processes.length > 0)
  for (const { pid } of processes) process.kill(pid, 'SIGKILL')
}

/** Waits until the session has no upload whose file has not come. */
async function untilNoneIsAwaited(): Promise<void> {
  for (;;) {
    const awaited = (await list()).filter(({ state }) => state === 'awaiting')
    if (awaited.length === 0) return
    await page.waitForResponse((response) => response.request().method() === 'DELETE')
  }
}
