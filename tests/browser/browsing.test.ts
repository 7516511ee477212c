import { gzipSync } from 'node:zlib'
import type { APIRequestContext, Browser, BrowserContext, Page, Response } from 'playwright-core'
import * as assert from 'uvu/assert'
import { seriousFindings } from '../support/axe.ts'
import { openBrowser, visit as visitPage } from '../support/chromium.ts'
import { createVisits } from '../support/page-visits.ts'
import { suite } from '../support/suite.ts'
import { mediaFile } from '../worker/support/media-files.ts'
import { samplePicture, truncated } from '../worker/support/sample-images.ts'
import { openSharedSystem, type SharedSystem } from './support/shared-system.ts'

const test = suite('browsing uploads', {}, { limitMs: 60_000 })

/** Bytes of compressed script that the first page may need. */
const maxFirstScriptBytes = 200_000
/** More uploads than any window shows. */
const manyUploads = 2_000
/** Of these uploads, a window may have so many in its document: those in it, and a few rows beyond. */
const maxRendered = 120

type SentFile = { name: string; type: string; bytes: Uint8Array; metadata?: Record<string, string> }
type Visit = { context: BrowserContext; page: Page; errors: string[]; api: APIRequestContext }

let system: SharedSystem
let browser: Browser
let picture: Buffer
let visits: ReturnType<typeof createVisits>
/** Visits of the current test. */
let count = 0
let others: BrowserContext[] = []

test.before(async () => {
  picture = await samplePicture(1200, 800).jpeg().toBuffer()
  system = await openSharedSystem()
  browser = await openBrowser()
  visits = createVisits(browser, system.url, {
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
})
test.after(() => browser?.close())
test.after.each(async () => {
  for (const context of others) await context.close()
  others = []
  count = 0
})

/** Opens the console with a new session, which has sent these files. */
async function visit(files: SentFile[] = []) {
  count += 1
  const { context, page } = await (count === 1 ? visits.begin() : visits.openPage())
  if (count > 1) others.push(context)
  const api = context.request
  await api.get(`${system.url}/session`)
  for (const file of files) await send(api, file)
  const visited: Visit = { context, page, errors: await visitPage(page, system.url), api }
  return visited
}

/** Sends a file as another client of the session does. */
async function send(api: APIRequestContext, { name, type, bytes, metadata }: SentFile): Promise<string> {
  const announced = await announce(api, { filename: name, contentType: type, size: bytes.length, metadata })
  const form = new FormData()
  for (const [field, value] of Object.entries(announced.transport.fields)) form.append(field, String(value))
  form.append('file', new Blob([Uint8Array.from(bytes)], { type }), name)
  const sent = await fetch(announced.transport.url, { method: 'POST', body: form })
  assert.ok(sent.ok, await sent.text())
  return announced.id
}

async function announce(api: APIRequestContext, data: Record<string, unknown>) {
  const response = await api.post(`${system.url}/uploads`, { data })
  assert.is(response.status(), 201)
  return response.json()
}

const jpeg = (name: string, metadata?: Record<string, string>): SentFile => ({
  name,
  type: 'image/jpeg',
  bytes: picture,
  ...(metadata && { metadata }),
})
const cell = (page: Page, name: string | RegExp) => page.getByRole('gridcell', { name })
const names = (page: Page) => page.locator('.tile-name').allTextContents()
const panel = (page: Page) => page.getByRole('dialog', { name: /^Upload / })
const active = (page: Page) =>
  page.evaluate<string>(
    'document.activeElement?.querySelector(".tile-name, .list-filename")?.textContent ?? ""',
  )

/**
 * Waits until an expression is true in a page. Playwright's `waitForFunction` evaluates text inside the page, which the
 * content security policy forbids.
 */
async function until(page: Page, expression: string): Promise<void> {
  await page.evaluate(`new Promise((resolve) => {
    const check = () => (${expression}) ? resolve() : requestAnimationFrame(check)
    check()
  })`)
}

/** Waits until the grid shows these uploads and no others. */
async function shows(page: Page, expected: string[]): Promise<void> {
  const shown = 'JSON.stringify([...document.querySelectorAll(".tile-name")].map((name) => name.textContent))'
  await until(page, `${shown} === ${JSON.stringify(JSON.stringify(expected))}`)
}

/** Waits until an upload has a picture, and so is ready. */
const isReady = (page: Page, name: string) => cell(page, name).locator('.picture-image.is-shown').waitFor()

/**
 * Serves a page a list of many uploads: to announce them takes half a minute, and says nothing about the page.
 * @returns a function that sends the event of a newer upload
 */
async function serveMany(page: Page): Promise<{ tellOfOneMore: () => void }> {
  const uploads = Array.from({ length: manyUploads + 1 }, (_, number) => ({
    id: `019aa1f0-5c1e-7cc3-98a1-${number.toString(16).padStart(12, '0')}`,
    state: 'awaiting',
    filename: `file ${number}.bin`,
    contentType: 'application/octet-stream',
    size: 1,
    preset: 'default',
    variants: [],
    createdAt: '2026-11-23T09:30:00.000Z',
    updatedAt: '2026-11-23T09:30:00.000Z',
  })).reverse()
  const [newest, ...listed] = uploads
  await page.route('**/uploads?*', (route, request) => {
    const { searchParams } = new URL(request.url())
    const cursor = searchParams.get('cursor')
    const limit = Number(searchParams.get('limit'))
    const rest = cursor === null ? listed : listed.filter(({ id }) => id < cursor)
    const part = rest.slice(0, limit)
    const nextCursor = rest.length > limit ? part.at(-1)?.id : undefined
    return route.fulfill({ json: { uploads: part, ...(nextCursor && { nextCursor }) } })
  })
  const told = Promise.withResolvers<void>()
  let streams = 0
  await page.route('**/events', async (route) => {
    streams += 1
    if (streams > 1) await told.promise
    const event = streams === 1 ? ['opened', {}] : ['upload', newest]
    const body = `retry: 10\nevent: ${event[0]}\ndata: ${JSON.stringify(event[1])}\n\n`
    // After these, the stream stays away.
    if (streams <= 2) await route.fulfill({ contentType: 'text/event-stream', body })
  })
  return { tellOfOneMore: told.resolve }
}

test('the first page needs few bytes of script, from its own origin, cached for ever, and a strict policy', async () => {
  const context = await browser.newContext()
  others.push(context)
  const page = await context.newPage()
  const responses: Response[] = []
  page.on('response', (response) => responses.push(response))
  await page.goto(system.url)
  await page.getByText('No uploads yet').waitFor()
  const { origin } = new URL(system.url)
  assert.equal([...new Set(responses.map((response) => new URL(response.url()).origin))], [origin])
  const scripts = responses.filter((response) => response.request().resourceType() === 'script')
  const sizes = await Promise.all(scripts.map(async (script) => gzipSync(await script.body()).length))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  assert.ok(bytes > 0 && bytes < maxFirstScriptBytes, `${bytes} bytes`)
  for (const script of scripts) {
    assert.match(script.url(), /\/assets\/.+-[\w-]{8}\.js$/)
    assert.match(script.headers()['cache-control'] ?? '', 'immutable')
  }
  const policy = responses[0]?.headers()['content-security-policy'] ?? ''
  assert.match(policy, "default-src 'none'; script-src 'self'; style-src 'self'")
  assert.not.match(policy, 'unsafe')
})

test('search, state and order are in the address, and Back returns to what was before', async () => {
  const { page, errors } = await visit([
    jpeg('harbour.jpg', { album: 'summer' }),
    jpeg('hut.jpg'),
    { name: 'half.jpg', type: 'image/jpeg', bytes: truncated(picture) },
  ])
  await shows(page, ['half.jpg', 'hut.jpg', 'harbour.jpg'])
  await isReady(page, 'harbour.jpg')
  await cell(page, 'half.jpg').getByText('Rejected').waitFor()

  await page.keyboard.press('/')
  await page.keyboard.type('har')
  await shows(page, ['harbour.jpg'])
  assert.is(new URL(page.url()).searchParams.get('search'), 'har')
  await page.keyboard.press('Escape')
  await shows(page, ['half.jpg', 'hut.jpg', 'harbour.jpg'])

  await page.getByRole('combobox', { name: 'State' }).selectOption('Rejected')
  await shows(page, ['half.jpg'])
  await page.reload()
  await shows(page, ['half.jpg'])
  await page.goBack()
  await shows(page, ['half.jpg', 'hut.jpg', 'harbour.jpg'])

  await page.getByRole('combobox', { name: 'Order' }).selectOption('Oldest first')
  await shows(page, ['harbour.jpg', 'hut.jpg', 'half.jpg'])
  await page.getByRole('searchbox', { name: 'Search uploads' }).fill('album=summer')
  await shows(page, ['harbour.jpg'])
  await page.getByRole('searchbox', { name: 'Search uploads' }).fill('nothing')
  await page.getByText('No upload matches').waitFor()
  await page.getByRole('button', { name: 'Show all uploads' }).click()
  await shows(page, ['harbour.jpg', 'hut.jpg', 'half.jpg'])
  assert.equal(errors, [])
})

test('several uploads are selected with the keyboard, linked, processed with another preset and deleted', async () => {
  const { page, errors, api } = await visit(['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'].map((name) => jpeg(name)))
  for (const name of ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']) await isReady(page, name)
  await cell(page, 'd.jpg').focus()
  await page.keyboard.press('ArrowRight')
  assert.is(await active(page), 'c.jpg')
  await page.keyboard.press('Space')
  await page.keyboard.press('Shift+ArrowRight')
  assert.is(await active(page), 'b.jpg')
  await page.getByText('2 selected').waitFor()
  assert.is(await page.locator('[aria-selected=true]').count(), 2)

  await page.getByRole('button', { name: 'Links' }).click()
  const links = page.getByRole('textbox', { name: 'Links' })
  const [first = '', second = ''] = (await links.inputValue()).split('\n')
  assert.ok(second.startsWith('http'))
  assert.ok(Buffer.from(await (await fetch(first)).arrayBuffer()).equals(picture))
  await page.keyboard.press('Escape')

  await page.getByRole('button', { name: 'Process again' }).click()
  await page.getByRole('combobox', { name: 'Preset' }).selectOption('tiny')
  await page.getByText('Makes dot.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Process again' }).click()
  await page.getByText('2 uploads sent to the workers.').waitFor()
  for (const name of ['b.jpg', 'c.jpg']) await isReady(page, name)
  const { uploads } = await (await api.get(`${system.url}/uploads`)).json()
  const presets = uploads.map(
    ({ filename, preset }: { filename: string; preset: string }) => `${filename} ${preset}`,
  )
  assert.equal(presets, ['d.jpg default', 'c.jpg tiny', 'b.jpg tiny', 'a.jpg default'])

  await cell(page, 'd.jpg').click({ modifiers: ['ControlOrMeta'] })
  await page.keyboard.press('Delete')
  const question = page.getByRole('dialog', { name: 'Delete this upload?' })
  assert.match((await question.textContent()) ?? '', 'd.jpg')
  await question.getByRole('button', { name: 'Keep' }).click()
  await page.keyboard.press('Escape')
  await cell(page, 'a.jpg').focus()
  await page.keyboard.press('ControlOrMeta+a')
  await page.getByText('4 selected').waitFor()
  await page.keyboard.press('Delete')
  await page.getByRole('button', { name: 'Delete 4 uploads' }).click()
  await page.getByText('4 uploads deleted.').waitFor()
  await page.getByText('No uploads yet').waitFor()
  assert.equal(errors, [])
})

test('the panel shows variants, savings, links, steps and history, and can be linked and left', async () => {
  const { page, errors } = await visit([jpeg('first.jpg'), jpeg('second.jpg', { album: 'summer' })])
  await isReady(page, 'second.jpg')
  await cell(page, 'second.jpg').focus()
  await page.keyboard.press('Enter')
  const shown = panel(page)
  await shown.getByRole('heading', { name: 'second.jpg' }).waitFor()
  await shown.getByRole('img', { name: 'w960 of second.jpg' }).waitFor()
  const variants = await shown.locator('.variant').allTextContents()
  assert.is(variants.length, 5)
  assert.match(variants[1] ?? '', /w1920.*1200\s×\s800 · WEBP.*−\d+\s%/)
  await shown.getByRole('button', { name: 'w320', exact: true }).click()
  await shown.getByRole('img', { name: 'w320 of second.jpg' }).waitFor()

  await shown.getByRole('button', { name: 'Copy the link of w320' }).click()
  await page.getByText(/Copied the link of w320\. It works until \d/).waitFor()
  const copied = await page.evaluate<string>('navigator.clipboard.readText()')
  assert.is((await fetch(copied)).headers.get('content-type'), 'image/webp')

  const history = shown.getByRole('listitem').filter({ hasText: /^(Announced|Queued|Processing|Ready)/ })
  await history.filter({ hasText: 'Ready' }).waitFor()
  assert.is(await history.count(), 4)
  await shown.getByRole('row', { name: /Render variants/ }).waitFor()
  assert.match((await shown.locator('.facts').first().textContent()) ?? '', 'summer')

  await shown.getByRole('button', { name: 'Edit' }).click()
  const form = page.getByRole('dialog', { name: 'Edit upload' })
  await form.getByRole('textbox', { name: 'Filename' }).fill('renamed.jpg')
  await form.getByRole('textbox', { name: 'Value of album' }).fill('winter')
  await form.getByRole('button', { name: 'Save' }).click()
  await shown.getByRole('heading', { name: 'renamed.jpg' }).waitFor()
  await cell(page, 'renamed.jpg').waitFor()
  assert.match((await shown.locator('.facts').first().textContent()) ?? '', 'winter')

  await page.reload()
  await shown.getByRole('heading', { name: 'renamed.jpg' }).waitFor()
  await shown.getByRole('button', { name: 'Next upload' }).click()
  await shown.getByRole('heading', { name: 'first.jpg' }).waitFor()
  await page.keyboard.press('ArrowLeft')
  await shown.getByRole('heading', { name: 'renamed.jpg' }).waitFor()
  await page.keyboard.press('Escape')
  await shown.waitFor({ state: 'detached' })
  assert.is(new URL(page.url()).search, '')
  await until(page, 'document.activeElement?.dataset.id')
  assert.is(await active(page), 'renamed.jpg')
  await page.goto(`${system.url}/?upload=019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57`)
  await page.getByText('There is no such upload').waitFor()
  assert.equal(
    errors.filter((error) => !error.includes('404')),
    [],
  )
})

test('a video is played in the panel, and the reason of a rejection is told there', async () => {
  const { page, errors } = await visit([
    { name: 'film.mp4', type: 'video/mp4', bytes: await mediaFile('mp4-faststart.mp4') },
    { name: 'half.jpg', type: 'image/jpeg', bytes: truncated(picture) },
  ])
  await cell(page, 'half.jpg').getByText('Rejected').waitFor()
  await cell(page, 'half.jpg').click()
  await panel(page).getByText('The JPEG is incomplete').waitFor()
  await until(page, '!document.querySelector(".panel")?.textContent.includes("Waiting")')
  await panel(page).getByRole('button', { name: 'Next upload' }).click()
  const film = panel(page).locator('video')
  await film.waitFor()
  await until(page, 'document.querySelector("video")?.readyState >= 1')
  assert.equal(errors, [])
})

test('uploads of other clients appear and disappear at once, only in their session and only if they match', async () => {
  const { page, errors, api } = await visit([jpeg('here.jpg')])
  const stranger = await visit()
  await isReady(page, 'here.jpg')
  await stranger.page.getByText('No uploads yet').waitFor()
  const id = await send(api, jpeg('elsewhere.jpg'))
  await isReady(page, 'elsewhere.jpg')
  await page.getByRole('searchbox', { name: 'Search uploads' }).fill('else')
  await shows(page, ['elsewhere.jpg'])
  await announce(api, { filename: 'other.jpg', contentType: 'image/jpeg', size: 1 })
  await announce(api, { filename: 'else too.jpg', contentType: 'image/jpeg', size: 1 })
  await shows(page, ['else too.jpg', 'elsewhere.jpg'])
  await api.delete(`${system.url}/uploads/${id}`)
  await shows(page, ['else too.jpg'])
  await stranger.page.getByText('No uploads yet').waitFor()
  assert.equal(await names(stranger.page), [])
  assert.equal([...errors, ...stranger.errors], [])
})

test('two thousand uploads scroll with few elements, to the last one, and new ones wait', async () => {
  const { page, errors } = await visit()
  const { tellOfOneMore } = await serveMany(page)
  await page.reload()
  await page.getByRole('gridcell').first().focus()
  const summary = page.locator('.page-header p span').first()
  let most = 0
  // Each press leads to the end of what is loaded, and so loads more.
  for (let text = await summary.textContent(); text !== '2,000 uploads'; text = await summary.textContent()) {
    await page.keyboard.press('End')
    await until(page, `document.querySelector('.page-header p span').textContent !== ${JSON.stringify(text)}`)
    most = Math.max(most, await page.getByRole('gridcell').count())
  }
  await page.keyboard.press('End')
  await until(page, 'document.activeElement.textContent.includes("file 0.bin")')
  assert.ok(most < maxRendered, `${most} uploads were rendered at once`)
  const top = () => page.evaluate<number>('document.activeElement.getBoundingClientRect().top')
  const before = await top()
  assert.ok(before > 0 && before < 800, `the last upload is at ${before}`)

  // What arrives meanwhile does not move what is read.
  tellOfOneMore()
  const more = page.getByRole('button', { name: '1 new upload' })
  await more.waitFor()
  assert.is(await top(), before)
  await more.click()
  await cell(page, 'file 2000.bin').waitFor()
  assert.is(await page.evaluate('scrollY'), 0)

  // After another page, the list is where it was left.
  await page.evaluate(
    'new Promise((resolve) => { addEventListener("scroll", resolve, { once: true }); scrollTo(0, 3000) })',
  )
  await page.getByRole('link', { name: 'Fleet' }).click()
  await page.getByRole('heading', { name: 'Fleet' }).waitFor()
  await page.goBack()
  await until(page, 'scrollY === 3000')
  assert.equal(errors, [])
})

test('a list that could not be loaded says why, and is loaded with Try again', async () => {
  const { page } = await visit([jpeg('kept.jpg')])
  await page.route('**/uploads?*', (route) =>
    route.fulfill({ status: 400, json: { title: 'x', detail: 'No luck.' } }),
  )
  await page.route('**/events', (route) => route.abort())
  await page.reload()
  await page.getByRole('alert').getByText('Your uploads could not be loaded').waitFor()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.getByRole('button', { name: 'Try again' }).click()
  await cell(page, 'kept.jpg').waitFor()
})

test('grid, list and panel are accessible in light and dark, and fit a phone', async () => {
  const files = [jpeg('one.jpg'), { name: 'half.jpg', type: 'image/jpeg', bytes: truncated(picture) }]
  const { page, errors } = await visit(files)
  await isReady(page, 'one.jpg')
  await cell(page, 'half.jpg').getByText('Rejected').waitFor()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    const findings = () => seriousFindings(page, { colorsOnly: colorScheme === 'dark' })
    await page.getByRole('radio', { name: 'Grid' }).check({ force: true })
    await cell(page, 'one.jpg').click({ modifiers: ['ControlOrMeta'] })
    assert.equal(await findings(), [], `grid with a selection, ${colorScheme}`)
    await page.keyboard.press('Escape')
    await page.getByRole('radio', { name: 'List' }).check({ force: true })
    assert.equal(await findings(), [], `list, ${colorScheme}`)
    await page.locator('.list-filename', { hasText: 'one.jpg' }).click()
    await panel(page).getByText('History').waitFor()
    assert.equal(await findings(), [], `panel, ${colorScheme}`)
    await page.setViewportSize({ width: 390, height: 844 })
    assert.equal(await findings(), [], `panel of a phone, ${colorScheme}`)
    await page.keyboard.press('Escape')
    assert.is(await page.evaluate('document.documentElement.scrollWidth'), 390)
    await page.setViewportSize({ width: 1280, height: 800 })
  }
  assert.equal(errors, [])
})

test.run()
