import type { Browser, BrowserContext, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { seriousFindings } from '../support/axe.ts'
import { openBrowser, openPage } from '../support/chromium.ts'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'

const test = suite('fleet page', {}, { limitMs: 60_000 })

let millrace: Awaited<ReturnType<typeof startSystem>>
let browser: Browser
let context: BrowserContext
let page: Page
let errors: string[]
let address: string

test.before(async () => {
  // One slot, so that a burst of a few photos needs a second worker.
  millrace = await startSystem(['--workers', '1..2', '--speed', '15'], { WORKER_SLOTS: '1' })
  browser = await openBrowser()
  address = `${millrace.url}/console/fleet`
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-GB' })
  context.setDefaultTimeout(25_000)
  ;({ page, errors } = await openPage(context, address))
})
test.after(async () => {
  await browser?.close()
  await millrace?.close()
})

const tile = (word: string) =>
  page
    .locator('.stat-tile')
    .filter({ has: page.getByRole('button', { name: `What is: ${word}`, exact: true }) })
const chart = (title: string) => page.getByRole('figure', { name: title })
const event = (title: string) => page.getByRole('listitem').filter({ hasText: title })

test('the page shows instances, their health and charts of the last minutes, each with its text', async () => {
  await tile('Active instances').getByText('1 API, 1 worker', { exact: true }).waitFor()
  await tile('Health').getByText('2/2', { exact: true }).waitFor()
  await page.getByRole('rowheader', { name: 'api-1' }).waitFor()
  assert.is(await page.locator('.fleet-chart canvas').count(), 10)
  await chart('CPU')
    .getByText(/API: now \d+.%, from/)
    .waitFor()

  // The queue is measured from the second on in which a process publishes, and has a point of the history after ten.
  await chart('Finished uploads').getByText('Ready: now 0, from 0 to 0.').waitFor()
  await chart('CPU').locator('summary').click()
  await chart('CPU').getByRole('rowheader').first().waitFor()
  assert.ok((await chart('CPU').getByRole('cell').first().textContent())?.endsWith('%'))
  assert.equal(errors, [])
})

test('every word is explained where it stands, by keyboard as well', async () => {
  const button = page.getByRole('button', { name: 'What is: Queue load and demand' })
  await button.focus()
  await page.keyboard.press('Enter')
  const text = page.getByText('Queue load: (waiting + active + not yet relayed jobs) ÷ slots.')
  await text.waitFor()
  await page.keyboard.press('Escape')
  await text.waitFor({ state: 'hidden' })
})

test('the load button raises the requests and can be stopped', async () => {
  await page.getByText('Try the scaling').click()
  await page.getByRole('button', { name: 'Make load' }).click()
  await page.getByText(/Running: [1-9]\d* requests? answered/).waitFor()
  await page
    .getByRole('row', { name: /^api-1/ })
    .getByText(/^[1-9]\d*.requests?$/)
    .waitFor()
  await page.getByRole('button', { name: 'Stop the load' }).click()
  await page.getByText(/Over: [1-9]\d* requests? answered/).waitFor()
  await page.getByRole('button', { name: 'Make load' }).waitFor()
  assert.equal(errors, [])
})

test('a burst of sample uploads is sent, processed, counted and removed', async () => {
  await page.getByRole('button', { name: 'Send sample uploads' }).click()
  await page.getByText('Sent 20 of 20 sample uploads.').waitFor()
  const listed = async () => {
    const response = await context.request.get(new URL('/uploads?metadata[sample]=fleet', address).href)
    const page: { uploads: { filename: string }[] } = await response.json()
    return page.uploads.length
  }
  assert.is(await listed(), 20)
  await chart('Finished uploads')
    .getByText(/Ready: now [1-9]/)
    .waitFor()
  await page.getByRole('button', { name: 'Remove the sample uploads' }).click()
  await page.getByText('Removed 20 sample uploads.').waitFor()
  assert.is(await listed(), 0)
  assert.equal(errors, [])
})

test('the scaling decision of a burst is shown live, with its reason and the new worker', async () => {
  const photo = await samplePicture(1600, 1200).jpeg().toBuffer()
  const send = () =>
    context.request.post(`${millrace.url}/upload?filename=a.jpg`, {
      data: photo,
      headers: { 'content-type': 'image/jpeg' },
    })
  const responses = await Promise.all(Array.from({ length: 15 }, send))
  assert.equal([...new Set(responses.map((response) => response.status()))], [201])
  await page
    .getByRole('listitem')
    .filter({ hasText: 'Workers: 1 → 2' })
    .filter({ hasText: /(Load|Demand) .* is (at least|above)/ })
    .first()
    .waitFor()
  await page.getByRole('rowheader', { name: 'worker-2' }).waitFor()
  await page.getByText('Workers: 2 of 1 to 2').waitFor()
  assert.equal(errors, [])
})

test('a killed worker is shown as started again', async () => {
  const worker = millrace.processes().find(({ environment }) => environment.includes('INSTANCE=worker-1'))
  assert.ok(worker)
  process.kill(worker.pid, 'SIGKILL')
  await event('worker-1 started again').first().waitFor()
  await event('worker-1 started again').getByText('The process before ended.').first().waitFor()
  assert.equal(errors, [])
})

test('axe finds nothing serious, in light, in dark and on a phone, and colors follow the scheme', async () => {
  const pictures = new Set<string>()
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 390],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: 900 })
    assert.equal(await seriousFindings(page), [], `${colorScheme}, ${width} px`)
    assert.is(await overflow(), 0, 'the page does not scroll sideways')
  }
  await page.setViewportSize({ width: 1280, height: 900 })
  const axis = chart('Instances').locator('canvas')
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme })
    pictures.add((await axis.screenshot()).toString('base64'))
  }
  assert.is(pictures.size, 2)
  assert.equal(errors, [])
})

test('without permission the page says what is needed, and shows the fleet after signing in', async () => {
  await page.route('**/admin/cluster*', (route) => route.fulfill({ status: 403 }))
  await page.route('**/admin/cluster/events', (route) => route.fulfill({ status: 403 }))
  await page.reload()
  await page.getByRole('heading', { name: 'Only operators see the fleet' }).waitFor()
  assert.equal(await seriousFindings(page), [])
  await page.unrouteAll()
  await page.getByRole('button', { name: 'Try again' }).click()
  await tile('Health').waitFor()
})

test('a lost connection is told, and the last figures stay', async () => {
  // What the browser logs about the refused requests above is expected.
  errors.length = 0
  await page.route('**/admin/cluster/events', (route) => route.abort())
  const cluster = await context.request.get(new URL('/admin/cluster', address).href)
  await page.unrouteAll()
  const first = `retry: 60000\n\nevent: cluster\ndata: ${await cluster.text()}\n\n`
  await page.route('**/admin/cluster/events', (route) =>
    route.fulfill({ status: 200, contentType: 'text/event-stream', body: first }),
  )
  await page.reload()
  await page.getByText('Connection lost. Reconnecting… The figures below are the last ones.').waitFor()
  await tile('Health').waitFor()
  assert.equal(errors, [])
})

/** Returns by how many pixels the page is wider than its window. */
function overflow(): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
}

test.run()
