import type { Browser, BrowserContext, Locator, Page, Request } from 'playwright-core'
import * as assert from 'uvu/assert'
import { dropFiles, launchChromium, openPage, recordTexts } from '../support/chromium.ts'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { phonePhoto, quarters, samplePicture, truncated } from '../worker/support/sample-images.ts'

const MB = 1e6
/** What a phone of 12 megapixels saves when it is held upright: lying, with a note to turn it. */
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
  await page.getByText('None yet.').waitFor()
})
// The page stays, as another costs more than what most tests do in it; its session and all else goes.
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

/** The bytes behind a link of the page, through its redirect, with the page's cookie. */
async function download(link: Locator): Promise<Buffer> {
  const href = await link.getAttribute('href')
  const response = await context.request.get(new URL(href ?? '', system.url).href)
  assert.is(response.status(), 200)
  return response.body()
}

/** The percentages among recorded states. */
function percentages(texts: string[]): number[] {
  return texts.flatMap((text) => {
    const [, percentage] = /^Uploading (\d+) %$/.exec(text) ?? []
    return percentage === undefined ? [] : [Number(percentage)]
  })
}

function assertNeverFalls(numbers: number[]): void {
  for (const [index, number] of numbers.entries()) {
    const before = numbers[index - 1] ?? 0
    assert.ok(number >= before, `${before} is followed by ${number}`)
  }
}

test('takes a phone photo to its upright thumbnail without a reload', async () => {
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
    if (!('naturalWidth' in image && 'naturalHeight' in image)) throw new Error('There is no image.')
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

test('shows an upload to the browser that sent it alone', async () => {
  await dropFiles(dropZone(), [jpeg('mine.jpg', await samplePicture(300, 200).jpeg().toBuffer())])
  const original = card('mine.jpg').getByRole('link', { name: 'original' })
  const address = new URL((await original.getAttribute('href')) ?? '', system.url)
  const upload = address.href.replace('/original', '')
  assert.is((await context.request.get(upload)).status(), 200)

  await page.reload()
  await state('mine.jpg', /^Ready$/).waitFor()

  const other = await browser.newContext()
  const { page: otherPage, errors: otherErrors } = await openPage(other, system.url)
  await otherPage.getByText('None yet.').waitFor()
  assert.is(await otherPage.getByRole('listitem').count(), 0)
  assert.is((await other.request.get(upload)).status(), 404)
  assert.is((await other.request.get(address.href)).status(), 404)
  await other.close()
  assert.equal([...errors, ...otherErrors], [])
})

test('sends a large file in parallel parts with one progress', async () => {
  const mostParts = countAtOnce(page, (request) => request.method() === 'PUT')
  const states = await recordTexts(page, '.state-text')
  await dropFiles(dropZone(), [{ name: 'film.mp4', type: 'video/mp4', size: 32 * MB }])
  await state('film.mp4', 'Ready, kept as it is').waitFor()

  const seen = percentages(await states())
  assert.ok(seen.length > 3, `only ${seen.join(', ')} % were shown`)
  assertNeverFalls(seen)
  assert.ok(mostParts() > 1, 'one part was sent after the other')
  assert.is(await card('film.mp4').getByRole('link').count(), 1)
  assert.equal(errors, [])
})

test('says in a sentence why a damaged photo is rejected', async () => {
  await dropFiles(dropZone(), [jpeg('half.jpg', truncated(await samplePicture(300, 200).jpeg().toBuffer()))])
  await state('half.jpg', 'The JPEG is incomplete: the file ends before the picture does.').waitFor()
  assert.is(await card('half.jpg').getByRole('link').count(), 0)
  assert.equal(errors, [])
})

test('says of an empty file that it is empty, without asking the server', async () => {
  await dropFiles(dropZone(), [{ name: 'nothing.txt', type: 'text/plain', size: 0 }])
  await state('nothing.txt', 'The file is empty.').waitFor()
  assert.equal(errors, [])
})

test('brings twenty files that are dropped at once all to their end', async () => {
  const picture = await samplePicture(300, 200).jpeg().toBuffer()
  const names = Array.from({ length: 20 }, (_, index) => `picture ${index + 1}.jpg`)
  const moreStreams = countAtOnce(page, (request) => request.url().endsWith('/events'))
  await dropFiles(
    dropZone(),
    names.map((name) => jpeg(name, picture)),
  )
  for (const name of names) await state(name, /^Ready$/).waitFor()
  // All are followed over the stream that the page has.
  assert.is(moreStreams(), 0)
  assert.equal(errors, [])
})

test('loads earlier uploads a page at a time', async () => {
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

test('takes files by keyboard', async () => {
  // Listened for well before: Chromium is told to hand over its dialog in a message of its own.
  const chooser = page.waitForEvent('filechooser')
  await page.keyboard.press('Tab')
  await page.locator('input[type=file]:focus').waitFor({ state: 'attached' })
  await page.evaluate(() => 0)
  await page.keyboard.press('Space')
  await (await chooser).setFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('note') })
  await state('note.txt', 'Ready, kept as it is').waitFor()
  assert.equal(errors, [])
})

test('sends a part again with a fresh signature when the old one has expired', async () => {
  let refused = 0
  let signed = 0
  await page.route(isPart, async (route) => {
    if (route.request().method() !== 'PUT' || refused > 0) return route.continue()
    refused++
    const headers = { 'access-control-allow-origin': new URL(system.url).origin }
    return route.fulfill({
      status: 403,
      headers,
      body: '<Error><Message>Request has expired</Message></Error>',
    })
  })
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith('/parts')) signed++
  })
  await dropFiles(dropZone(), [{ name: 'slow.bin', type: '', size: 9 * MB }])
  await state('slow.bin', 'Ready, kept as it is').waitFor()
  assert.is(refused, 1)
  assert.is(signed, 1)
})

test('goes on after a failure with what S3 does not have yet', async () => {
  const sent: string[] = []
  let isRefusing = true
  await page.route(isPart, (route, request) => {
    if (request.method() !== 'PUT' || !isRefusing || partNumber(request.url()) === '1')
      return route.continue()
    return route.fulfill({ status: 400, headers: { 'access-control-allow-origin': origin() } })
  })
  page.on('response', (response) => {
    const request = response.request()
    if (request.method() === 'PUT' && response.ok()) sent.push(partNumber(request.url()))
  })
  await dropFiles(dropZone(), [{ name: 'stop.bin', type: '', size: 9 * MB }])
  await state('stop.bin', 'The storage answered 400.').waitFor()
  isRefusing = false
  await card('stop.bin').getByRole('button', { name: 'Send again' }).click()
  await state('stop.bin', 'Ready, kept as it is').waitFor()
  assert.equal(sent.toSorted(), [...new Set(sent)].toSorted(), `parts ${sent.join(', ')} were sent`)
  assert.ok(sent.length > 1)
  assert.is(await page.getByRole('listitem').count(), 2)
})

test('erases what is cancelled, and sends it anew when asked to', async () => {
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
  await card('no.bin').getByRole('button', { name: 'Send again' }).click()
  await state('no.bin', 'Ready, kept as it is').waitFor()
  assert.equal(errors, [])
})

test('shows an upload that a reload has cut off as awaiting its bytes, and removes it', async () => {
  await page.route(isPart, (route) => (route.request().method() === 'PUT' ? undefined : route.continue()))
  page.on('dialog', (dialog) => dialog.accept())
  const firstPart = page.waitForRequest((request) => request.method() === 'PUT')
  await dropFiles(dropZone(), [{ name: 'cut.bin', type: '', size: 9 * MB }])
  await firstPart
  await page.reload()
  await state('cut.bin', 'Waiting for its bytes').waitFor()
  const erasure = page.waitForResponse((response) => response.request().method() === 'DELETE')
  await card('cut.bin').getByRole('button', { name: 'Remove' }).click()
  await page.getByText('None yet.').waitFor()
  assert.is((await context.request.get((await erasure).url())).status(), 404)
})

test('shows what is sent and erased elsewhere', async () => {
  const announced = await context.request.post(`${system.url}/uploads`, {
    data: { filename: 'elsewhere.txt', contentType: 'text/plain', size: 1 },
  })
  await state('elsewhere.txt', 'Waiting for its bytes').waitFor()
  const { id } = await announced.json()
  await context.request.delete(`${system.url}/uploads/${id}`)
  await page.getByText('None yet.').waitFor()
  assert.equal(errors, [])
})

test('says that the uploads cannot be loaded, and loads them when asked to once more', async () => {
  await page.route('**/events', (route) => route.fulfill({ status: 503 }))
  await page.reload()
  await page.getByRole('alert').filter({ hasText: 'could not be loaded' }).waitFor()
  await page.unrouteAll()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('None yet.').waitFor()
  assert.is(await page.getByRole('alert').count(), 0)
})

test('offers a transfer that failed once more', async () => {
  const isBucket = (address: URL) => address.origin !== origin()
  await page.route(isBucket, (route, request) =>
    request.method() === 'POST'
      ? route.fulfill({ status: 400, headers: { 'access-control-allow-origin': origin() } })
      : route.continue(),
  )
  await dropFiles(dropZone(), [{ name: 'later.txt', type: 'text/plain', size: 10 }])
  await state('later.txt', 'The storage answered 400.').waitFor()
  await page.unrouteAll()
  await card('later.txt').getByRole('button', { name: 'Send again' }).click()
  await state('later.txt', 'Ready, kept as it is').waitFor()
  assert.is(await page.getByRole('listitem').count(), 2)
})

test('fits a screen of 360 pixels', async () => {
  await page.setViewportSize({ width: 360, height: 780 })
  const name = `${'a name without any end '.repeat(8)}.jpg`.trim()
  await dropFiles(dropZone(), [jpeg(name, await samplePicture(300, 200).jpeg().toBuffer())])
  await state(name, /^Ready$/).waitFor()
  const width = await page.locator('html').evaluate((html) => html.scrollWidth)
  assert.is(width, 360)
})

test.run()

/** Counts requests of a kind from now on. @returns a function that gives the most that were open at once */
function countAtOnce(page: Page, isCounted: (request: Request) => boolean): () => number {
  const open = new Set<Request>()
  let most = 0
  page.on('request', (request) => {
    if (isCounted(request)) most = Math.max(most, open.add(request).size)
  })
  page.on('requestfinished', (request) => open.delete(request))
  page.on('requestfailed', (request) => open.delete(request))
  return () => most
}

/** Whether a URL is one that S3 takes a part at. */
function isPart(url: URL): boolean {
  return url.searchParams.has('partNumber')
}

function partNumber(url: string): string {
  return new URL(url).searchParams.get('partNumber') ?? ''
}
