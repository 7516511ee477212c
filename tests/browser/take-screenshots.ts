import { fileURLToPath } from 'node:url'
import { chromiumProgram, provideProgram } from '@millrace/local/setup/system-programs.ts'
import type { Browser, Page } from 'playwright-core'
import sharp from 'sharp'
import { dropFiles, launchChromium, openPage } from '../support/chromium.ts'
import { startSystem } from '../support/start-millrace.ts'
import { truncated } from '../worker/support/sample-images.ts'
import { harbourSvg, mountainsSvg } from './screenshot-pictures.ts'

/**
 * `npm run screenshots`: takes the pictures of the README and of docs/. Starts Millrace with its own data, uploads pictures
 * that are drawn here, and shows the console's pages as they are used.
 */
const directory = new URL('../../docs/', import.meta.url)

/** In CSS pixels, of which each becomes one pixel of the image. */
const desktop = { width: 1280, height: 860 }
const phone = { width: 390, height: 844 }
/** The upload's rate while a picture is taken, in bytes per second: slow enough to catch a percentage. */
const uploadRate = 6e6
const film = { name: 'timelapse.mp4', type: 'video/mp4', size: 96e6 }
/** Requests at once, and how long they go on, in ms, so that the fleet's charts show something. */
const burns = 2
const burnMs = 10_000
/** The fleet's charts have a point each ten seconds; so many of them make a line. */
const wantedPoints = 6

await provideProgram(chromiumProgram, (line) => process.stdout.write(`${line}\n`))
const system = await startSystem()
let browser: Browser | undefined
try {
  browser = await launchChromium()
  const context = await browser.newContext({ viewport: desktop, colorScheme: 'light', locale: 'en-GB' })
  const { page } = await openPage(context, system.url)
  await page.getByText('No uploads yet').waitFor()
  const harbour = await photo(harbourSvg)
  await dropFiles(page.locator('body'), [
    { name: 'harbour.jpg', type: 'image/jpeg', bytes: harbour },
    { name: 'harbour-damaged.jpg', type: 'image/jpeg', bytes: truncated(harbour) },
    { name: 'mountains.jpg', type: 'image/jpeg', bytes: await photo(mountainsSvg) },
  ])
  for (const name of ['harbour.jpg', 'mountains.jpg']) await waitForThumbnail(page, name)
  await page.getByRole('gridcell', { name: 'harbour-damaged.jpg' }).getByText('Rejected').waitFor()

  await closeTray(page)
  await page.getByRole('gridcell', { name: 'mountains.jpg' }).click()
  await page.getByRole('heading', { name: 'mountains.jpg' }).waitFor()
  await page.waitForLoadState('networkidle')
  await page.emulateMedia({ colorScheme: 'dark' })
  await take(page, 'console-upload.png')
  await page.setViewportSize(phone)
  await take(page, 'console-phone.png')
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize(desktop)
  await page.keyboard.press('Escape')

  const network = await context.newCDPSession(page)
  await network.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: uploadRate,
  })
  await dropFiles(page.locator('body'), [film])
  await page
    .getByText(/^[456]\d\s%/)
    .first()
    .waitFor({ timeout: 60_000 })
  await take(page, 'console.png')
  await page.getByText('1 file uploaded').waitFor({ timeout: 60_000 })
  await closeTray(page)

  await page.getByRole('link', { name: 'Fleet' }).click()
  const burn = () => context.request.get(`${system.url}/load/${burnMs}`)
  for (;;) {
    await Promise.all(Array.from({ length: burns }, burn))
    const { history } = await (await context.request.get(`${system.url}/admin/cluster`)).json()
    if (history.length >= wantedPoints) break
  }
  await take(page, 'console-fleet.png')
} finally {
  await browser?.close()
  await system.close()
}

/** Closes the list of files that were sent: it lies over the page. */
async function closeTray(page: Page): Promise<void> {
  const tray = page.getByRole('region', { name: 'Sending files' })
  await tray.getByRole('button', { name: 'Close', exact: true }).click()
  await tray.waitFor({ state: 'detached' })
}

/** Writes what the page shows to a file in docs/. */
async function take(page: Page, name: string): Promise<void> {
  const file = fileURLToPath(new URL(name, directory))
  const shot = await page.screenshot({ animations: 'disabled' })
  const { size } = await sharp(shot).png({ palette: true, effort: 10, compressionLevel: 9 }).toFile(file)
  process.stdout.write(`${file}: ${Math.round(size / 1000)} kB\n`)
}

/** Renders a picture as a camera would save it. */
function photo(svg: string): Promise<Buffer> {
  return sharp(Buffer.from(svg)).flatten().jpeg({ quality: 88 }).toBuffer()
}

/** Waits until the thumbnail of an upload is visible. */
async function waitForThumbnail(page: Page, name: string): Promise<void> {
  const card = page.getByRole('gridcell', { name })
  await card.locator('.picture-image.is-shown').waitFor({ timeout: 60_000 })
}
