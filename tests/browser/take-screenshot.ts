import { fileURLToPath } from 'node:url'
import { chromiumProgram, provideProgram } from '@millrace/local/setup/system-programs.ts'
import type { Browser, Page } from 'playwright-core'
import sharp from 'sharp'
import { dropFiles, launchChromium, openPage } from '../support/chromium.ts'
import { startSystem } from '../support/start-millrace.ts'
import { truncated } from '../worker/support/sample-images.ts'
import { harbourSvg, mountainsSvg } from './screenshot-pictures.ts'

/**
 * `npm run screenshot`: takes docs/console.png, the screenshot in the README. Starts Millrace with its own data,
 * uploads pictures that are drawn here, and shows one upload of each kind: sending, ready and rejected.
 */
const screenshotFile = fileURLToPath(new URL('../../docs/console.png', import.meta.url))

/** In CSS pixels, of which each becomes one pixel of the image. */
const viewport = { width: 1100, height: 948 }
/** The upload's rate while the screenshot is taken, in bytes per second: slow enough to catch a percentage. */
const uploadRate = 6e6
const film = { name: 'timelapse.mp4', type: 'video/mp4', size: 96e6 }

await provideProgram(chromiumProgram, (line) => process.stdout.write(`${line}\n`))
const system = await startSystem()
let browser: Browser | undefined
try {
  browser = await launchChromium()
  const context = await browser.newContext({ viewport, colorScheme: 'light', locale: 'en-GB' })
  const { page } = await openPage(context, system.url)
  await page.getByText('No uploads yet').waitFor()
  const harbour = await photo(harbourSvg)
  await dropFiles(page.locator('body'), [
    { name: 'harbour.jpg', type: 'image/jpeg', bytes: harbour },
    { name: 'harbour-damaged.jpg', type: 'image/jpeg', bytes: truncated(harbour) },
    { name: 'mountains.jpg', type: 'image/jpeg', bytes: await photo(mountainsSvg) },
  ])
  for (const name of ['harbour.jpg', 'mountains.jpg']) await waitForThumbnail(page, name)
  await page.getByText('Rejected').first().waitFor()
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
  const shot = await page.screenshot({ animations: 'disabled' })
  const { size } = await sharp(shot)
    .png({ palette: true, effort: 10, compressionLevel: 9 })
    .toFile(screenshotFile)
  process.stdout.write(`${screenshotFile}: ${Math.round(size / 1000)} kB\n`)
} finally {
  await browser?.close()
  await system.close()
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
