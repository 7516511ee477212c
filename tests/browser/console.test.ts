import type { Browser, BrowserContext, Locator, Page, Request } from 'playwright-core'
import * as assert from 'uvu/assert'
import { dropFiles, launchChromium, openPage, recordTexts } from '../support/chromium.ts'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { phonePhoto, quarters, samplePicture, truncated } from '../worker/support/sample-images.ts'

const MB = 1e6
/** A photo as a 12-megapixel phone saves it when held upright: landscape pixels and an EXIF orientation. */
const photo = await phonePhoto(4032, 3024)

const test = suite('console', {}, { limitMs: 60_000 })

let system: Awaited<ReturnType<typeof startSystem>>
let browser: Browser
let context: BrowserContext
let page: Page
let errors: string[]

test.before(async () => {
  system = await startSystem()
  browser = await launchChromium()
  context = await browser.newContext()
  context.setDefaultTimeout(25_000)
  ;({ page, errors } = await openPage(context, 'about:blank'))
})
test.after(async () => {
  await browser?.close()
  await system?.close()
})
test.before.each(async () => {
  await page.setViewportSize({ width: 1100, height: 900 })
  await page.goto(system.url)
  await page.getByText('No uploads yet.').waitFor()
})
// The page is reused: opening another takes longer than most tests. Its session and its routes are removed.
test.after.each(async () => {
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.goto('about:blank')
  await context.clearCookies()
  errors.length = 0
})

const origin = () => new URL(system.url).origin
const dropZone = () => page.locator('.drop-zone')
const card = (filename: string) => page.getByRole('listitem', { name: filename, exact: true })
const state = (filename: string, text: string | RegExp) =>
  card(filename).locator('.state-text').filter({ hasText: text })
const jpeg = (name: string, bytes: Uint8Array) => ({ name, type: 'image/jpeg', bytes })

/** Downloads the target of a link, through its redirect, with the page's cookie. */
async function download(link: Locator): Promise<Buffer> {
  const href = await link.getAttribute('href')
  const response = await context.request.get(new URL(href ?? '', system.url).href)
  assert.is(response.status(), 200)
  return response.body()
}

/** Returns the upload percentages among recorded states. */
function percentages(texts: string[]): number[] {
  return texts.flatMap((text) => {
    const [, percentage] = /^Uploading (\d+) %$/.exec(text) ?? []
    return percentage === undefined ? [] : [Number(percentage)]
  })
}

function assertNeverFalls(numbers: number[]): void {
  for (const [index, number] of numbers.entries()) {
    const before = numbers[index - 1] ?? 0
    assert.ok(number >= before, `${before} % is followed by ${number} %`)
  }
}

test('a dropped phone photo becomes an upright thumbnail without a reload', async () => {
  const states = await recordTexts(page, '.state-text')
  await dropFiles(dropZone(), [jpeg('IMG_0001.jpg', photo)])
  await state('IMG_0001.jpg', /^Ready$/).waitFor()

  const seen = await states()
  assert.ok(percentages(seen).length > 0, `no upload progress in ${seen.join(', ')}`)
  assertNeverFalls(percentages(seen))
  assert.ok(seen.includes('Processing'), `no processing in ${seen.join(', ')}`)

  const thumbnail = card('IMG_0001.jpg').getByRole('img', { name: 'Thumbnail of IMG_0001.jpg' })
  await card('IMG_0001.jpg').locator('.thumbnail-image.is-shown').waitFor()
  const shown = await thumbnail.evaluate((image) => {
    if (!('naturalWidth' in image && 'naturalHeight' in image))
      throw new Error('The element is not an image.')
    return { width: image.naturalWidth, height: image.naturalHeight }
  })
  assert.equal(shown, { width: 200, height: 200 })

  const placeholder = card('IMG_0001.jpg').locator('.thumbnail img').first()
  assert.match((await placeholder.getAttribute('src')) ?? '', /^data:image\/png;base64,/)

  const facts = await card('IMG_0001.jpg').locator('.facts').textContent()
  assert.match(facts ?? '', /image\/jpeg · 3024\s×\s4032/)
  const links = card('IMG_0001.jpg').getByRole('link')
  assert.is(await links.count(), 5)
  const small = await download(links.filter({ hasText: 'thumbnail' }))
  // The picture's quarters are red, green, blue and yellow; orientation 6 turns them clockwise.
  assert.is(await quarters(small), 'blue red yellow green')
  assert.ok((await download(links.filter({ hasText: 'original' }))).equals(photo))
  assert.match((await page.getByRole('status').textContent()) ?? '', 'IMG_0001.jpg: Ready')
  assert.equal(errors, [])
})

test('an upload is visible only to the session that sent it', async () => {
  await dropFiles(dropZone(), [jpeg('mine.jpg', await samplePicture(300, 200).jpeg().toBuffer())])
  const original = card('mine.jpg').getByRole('link', { name: 'original' })
  const address = new URL((await original.getAttribute('href')) ?? '', system.url)
  const upload = address.href.replace('/original', '')
  assert.is((await context.request.get(upload)).status(), 200)

  await page.reload()
  await state('mine.jpg', /^Ready$/).waitFor()

  const other = await browser.newContext()
  const { page: otherPage, errors: otherErrors } = await openPage(other, system.url)
  await otherPage.getByText('No uploads yet.').waitFor()
  assert.is(await otherPage.getByRole('listitem').count(), 0)
  assert.is((await other.request.get(upload)).status(), 404)
  assert.is((await other.request.get(address.href)).status(), 404)
  await other.close()
  assert.equal([...errors, ...otherErrors], [])
})

test('a large file is sent in parallel parts and shows one progress bar', async () => {
  const maxConcurrentParts = countConcurrent(page, (request) => request.method() === 'PUT')
  const states = await recordTexts(page, '.state-text')
  await dropFiles(dropZone(), [{ name: 'film.mp4', type: 'video/mp4', size: 32 * MB }])
  await state('film.mp4', 'Ready (stored, no variants)').waitFor()

  const seen = percentages(await states())
  assert.ok(seen.length > 3, `only these percentages were shown: ${seen.join(', ')}`)
  assertNeverFalls(seen)
  assert.ok(maxConcurrentParts() > 1, 'the parts were sent one after the other')
  assert.is(await card('film.mp4').getByRole('link').count(), 1)
  assert.equal(errors, [])
})

test('a damaged photo is rejected with a sentence that names the reason', async () => {
  await dropFiles(dropZone(), [jpeg('half.jpg', truncated(await samplePicture(300, 200).jpeg().toBuffer()))])
  await state('half.jpg', 'The JPEG is incomplete: the file ends before the end of the image.').waitFor()
  assert.is(await card('half.jpg').getByRole('link').count(), 0)
  assert.equal(errors, [])
})

test('an empty file is sent, and its original can be downloaded', async () => {
  await dropFiles(dropZone(), [{ name: 'nothing.txt', type: 'text/plain', size: 0 }])
  await state('nothing.txt', 'Ready (stored, no variants)').waitFor()
  assert.is((await download(card('nothing.txt').getByRole('link'))).length, 0)
  assert.equal(errors, [])
})

test('twenty files dropped together all become ready', async () => {
  const picture = await samplePicture(300, 200).jpeg().toBuffer()
  const names = Array.from({ length: 20 }, (_, index) => `picture ${index + 1}.jpg`)
  const newStreams = countConcurrent(page, (request) => request.url().endsWith('/events'))
  await dropFiles(
    dropZone(),
    names.map((name) => jpeg(name, picture)),
  )
  for (const name of names) await state(name, /^Ready$/).waitFor()
  // The page follows all of them over the stream that is already open.
  assert.is(newStreams(), 0)
  assert.equal(errors, [])
})

test('older uploads are loaded a page at a time', async () => {
  const announced = Array.from({ length: 51 }, (_, index) =>
    context.request.post(`${system.url}/uploads`, {
      data: { filename: `early ${index}.txt`, contentType: 'text/plain', size: 1 },
    }),
  )
  for (const response of await Promise.all(announced)) assert.is(response.status(), 201)
  await page.reload()
  await page.getByRole('listitem').nth(49).waitFor()
  assert.is(await page.getByRole('listitem').count(), 50)
  const more = page.getByRole('button', { name: 'Load more' })
  await more.click()
  await page.getByRole('listitem').nth(50).waitFor()
  await more.waitFor({ state: 'detached' })
  assert.is(await page.getByRole('listitem').count(), 51)
  assert.equal(errors, [])
})

test('files can be chosen with the keyboard', async () => {
  // Listens early: Playwright enables the interception of Chromium's file dialog with a message of its own.
  const chooser = page.waitForEvent('filechooser')
  await page.keyboard.press('Tab')
  await page.locator('input[type=file]:focus').waitFor({ state: 'attached' })
  await page.evaluate(() => 0)
  await page.keyboard.press('Space')
  await (await chooser).setFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('note') })
  await state('note.txt', 'Ready (stored, no variants)').waitFor()
  assert.equal(errors, [])
})

test('a part whose signature has expired is sent again with a fresh signature', async () => {
  let refusedParts = 0
  let signingRequests = 0
  await page.route(isPart, async (route) => {
    if (route.request().method() !== 'PUT' || refusedParts > 0) return route.continue()
    refusedParts++
    const headers = { 'access-control-allow-origin': new URL(system.url).origin }
    return route.fulfill({
      status: 403,
      headers,
      body: '<Error><Message>Request has expired</Message></Error>',
    })
  })
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith('/parts')) signingRequests++
  })
  await dropFiles(dropZone(), [{ name: 'slow.bin', type: '', size: 9 * MB }])
  await state('slow.bin', 'Ready (stored, no variants)').waitFor()
  assert.is(refusedParts, 1)
  assert.is(signingRequests, 1)
})

test('a failed upload is resumed with the parts that S3 does not have', async () => {
  const sent: string[] = []
  let isFailing = true
  await page.route(isPart, (route, request) => {
    if (request.method() !== 'PUT' || !isFailing || partNumber(request.url()) === '1') return route.continue()
    return route.fulfill({ status: 400, headers: { 'access-control-allow-origin': origin() } })
  })
  page.on('response', (response) => {
    const request = response.request()
    if (request.method() === 'PUT' && response.ok()) sent.push(partNumber(request.url()))
  })
  await dropFiles(dropZone(), [{ name: 'stop.bin', type: '', size: 9 * MB }])
  await state('stop.bin', 'The storage returned status 400.').waitFor()
  isFailing = false
  await card('stop.bin').getByRole('button', { name: 'Upload again' }).click()
  await state('stop.bin', 'Ready (stored, no variants)').waitFor()
  assert.equal(sent.toSorted(), [...new Set(sent)].toSorted(), `parts ${sent.join(', ')} were sent`)
  assert.ok(sent.length > 1)
  assert.is(await page.getByRole('listitem').count(), 2)
})

test('a cancelled upload is erased, and its file can be uploaded again', async () => {
  let isHeld = true
  await page.route(isPart, (route, request) =>
    request.method() === 'PUT' && isHeld ? undefined : route.continue(),
  )
  const firstPart = page.waitForRequest((request) => request.method() === 'PUT')
  const erasure = page.waitForResponse((response) => response.request().method() === 'DELETE')
  await dropFiles(dropZone(), [{ name: 'no.bin', type: '', size: 9 * MB }])
  await firstPart
  await card('no.bin').getByRole('button', { name: 'Cancel' }).click()
  await state('no.bin', 'Cancelled').waitFor()
  const erased = await erasure
  assert.is(erased.status(), 200)
  assert.is((await context.request.get(erased.url())).status(), 404)
  assert.is(await card('no.bin').count(), 1)

  isHeld = false
  await card('no.bin').getByRole('button', { name: 'Upload again' }).click()
  await state('no.bin', 'Ready (stored, no variants)').waitFor()
  assert.equal(errors, [])
})

test('an upload interrupted by a reload waits for its file and can be deleted', async () => {
  await page.route(isPart, (route) => (route.request().method() === 'PUT' ? undefined : route.continue()))
  page.on('dialog', (dialog) => dialog.accept())
  const firstPart = page.waitForRequest((request) => request.method() === 'PUT')
  await dropFiles(dropZone(), [{ name: 'cut.bin', type: '', size: 9 * MB }])
  await firstPart
  await page.reload()
  await state('cut.bin', 'Waiting for the file').waitFor()
  const erasure = page.waitForResponse((response) => response.request().method() === 'DELETE')
  await card('cut.bin').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('No uploads yet.').waitFor()
  assert.is((await context.request.get((await erasure).url())).status(), 404)
})

test('uploads that another client announces or erases appear and disappear', async () => {
  const announced = await context.request.post(`${system.url}/uploads`, {
    data: { filename: 'elsewhere.txt', contentType: 'text/plain', size: 1 },
  })
  await state('elsewhere.txt', 'Waiting for the file').waitFor()
  const { id } = await announced.json()
  await context.request.delete(`${system.url}/uploads/${id}`)
  await page.getByText('No uploads yet.').waitFor()
  assert.equal(errors, [])
})

test('uploads that could not be loaded are loaded after a click on Try again', async () => {
  await page.route('**/events', (route) => route.fulfill({ status: 503 }))
  await page.reload()
  await page.getByRole('alert').filter({ hasText: 'could not be loaded' }).waitFor()
  await page.unrouteAll()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('No uploads yet.').waitFor()
  assert.is(await page.getByRole('alert').count(), 0)
})

test('a photo that is being processed shows the step and how many variants are rendered', async () => {
  const announced = await context.request.post(`${system.url}/uploads`, {
    data: { filename: 'step.jpg', contentType: 'image/jpeg', size: 1 },
  })
  const { id } = await announced.json()
  const upload = await (await context.request.get(`${system.url}/uploads/${id}`)).json()
  const events = [
    ['snapshot', { uploads: [{ ...upload, state: 'processing' }] }],
    ['progress', { id: 'of another upload', step: 'publishing' }],
    ['progress', { id, step: 'rendering', done: 3, total: 5 }],
  ]
  const body = events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join('')
  let streams = 0
  // The page connects again after the end of the first stream, and then waits.
  await page.route('**/events', (route) =>
    ++streams === 1 ? route.fulfill({ contentType: 'text/event-stream', body }) : undefined,
  )
  await page.reload()
  await state('step.jpg', /^Processing$/).waitFor()
  const detail = card('step.jpg').locator('.state-detail')
  await detail.filter({ hasText: 'Rendering: 3 of 5 variants' }).waitFor()
  assert.is(await card('step.jpg').locator('progress').getAttribute('value'), '0.6')
  assert.equal(errors, [])
})

test('a failed small file can be uploaded again', async () => {
  const isBucket = (address: URL) => address.origin !== origin()
  await page.route(isBucket, (route, request) =>
    request.method() === 'PUT'
      ? route.fulfill({ status: 400, headers: { 'access-control-allow-origin': origin() } })
      : route.continue(),
  )
  await dropFiles(dropZone(), [{ name: 'later.txt', type: 'text/plain', size: 10 }])
  await state('later.txt', 'The storage returned status 400.').waitFor()
  await page.unrouteAll()
  await card('later.txt').getByRole('button', { name: 'Upload again' }).click()
  await state('later.txt', 'Ready (stored, no variants)').waitFor()
  assert.is(await page.getByRole('listitem').count(), 2)
})

test('the page fits a screen of 360 pixels', async () => {
  await page.setViewportSize({ width: 360, height: 780 })
  const name = `${'a very long file name '.repeat(8)}.jpg`.trim()
  await dropFiles(dropZone(), [jpeg(name, await samplePicture(300, 200).jpeg().toBuffer())])
  await state(name, /^Ready$/).waitFor()
  const width = await page.evaluate<number>('document.documentElement.scrollWidth')
  assert.is(width, 360)
})

test.run()

/** Counts open requests of a kind from now on. @returns a function that returns the maximum so far */
function countConcurrent(page: Page, isCounted: (request: Request) => boolean): () => number {
  const open = new Set<Request>()
  let max = 0
  page.on('request', (request) => {
    if (isCounted(request)) max = Math.max(max, open.add(request).size)
  })
  page.on('requestfinished', (request) => open.delete(request))
  page.on('requestfailed', (request) => open.delete(request))
  return () => max
}

/** Returns whether a URL is that of an S3 part. */
function isPart(url: URL): boolean {
  return url.searchParams.has('partNumber')
}

function partNumber(url: string): string {
  return new URL(url).searchParams.get('partNumber') ?? ''
}
