import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allFindings } from '../support/axe.ts'
import { recordTexts } from '../support/chromium.ts'
import { suite } from '../support/suite.ts'
import { samplePicture, truncated } from '../worker/support/sample-images.ts'
import { largeBytes, largeFile, smallFile, startTrays, type Tray } from './support/sending-tray.ts'

const picture = await samplePicture(300, 200).jpeg().toBuffer()

const test = suite('sending in the console', {}, { limitMs: 120_000 })

let millrace: Awaited<ReturnType<typeof startTrays>>
let ui: Tray

test.before(async () => {
  millrace = await startTrays()
})
test.after(() => millrace?.close())
test.before.each(async () => {
  ui = await millrace.open()
})

test('a dropped photo is sent, processed, announced and folded away', async () => {
  const states = await recordTexts(ui.page, '.sending-row-state')
  await ui.drop([{ name: 'harbour.jpg', type: 'image/jpeg', bytes: picture }])
  // The tray stays while the pointer is over it.
  await ui.tray().hover()
  await ui.state('harbour.jpg', 'Ready').waitFor()
  await ui.title('1 file uploaded').waitFor()
  await ui.page
    .getByRole('status')
    .filter({ hasText: 'harbour.jpg is ready.' })
    .waitFor({ state: 'attached' })
  await ui.row('harbour.jpg').locator('canvas.is-drawn').waitFor()
  assert.equal(
    (await ui.list()).map(({ state }) => state),
    ['ready'],
  )
  const shown = await states()
  assert.match(shown.at(0) ?? '', /^(Queued · |Starting$)/)
  assert.match(shown.at(-1) ?? '', /^Ready · /)
  await ui.button('Close').click()
  await ui.tray().waitFor({ state: 'detached' })
  assert.equal(ui.errors, [])
})

test('a damaged photo stays in the tray with its reason until it is removed', async () => {
  await ui.drop([{ name: 'half.jpg', type: 'image/jpeg', bytes: truncated(picture) }, smallFile('note.txt')])
  await ui.state('half.jpg', 'The JPEG is incomplete: the file ends before the end of the image.').waitFor()
  await ui.title('1 file needs attention').waitFor()
  await ui.button('Remove from the list: half.jpg').click()
  await ui.row('half.jpg').waitFor({ state: 'detached' })
  assert.equal(ui.errors, [])
})

test('a pasted picture gets the time as its name, and a paste into a field sends nothing', async () => {
  const paste = (selector: string) =>
    ui.page.evaluate(`
      const clipboardData = new DataTransfer()
      clipboardData.items.add(new File(['no picture'], 'image.png', { type: 'image/png' }))
      const options = { clipboardData, bubbles: true, cancelable: true }
      document.querySelector('${selector}').dispatchEvent(new ClipboardEvent('paste', options))
    `)
  await paste('input[type=radio]')
  await paste('body')
  await ui.page.locator('.sending-row').waitFor()
  assert.match(
    (await ui.page.locator('.sending-row').getAttribute('aria-label')) ?? '',
    /^Pasted \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png$/,
  )
  assert.is(await ui.page.locator('.sending-row').count(), 1)
})

test('a dropped folder keeps its paths, by which the API finds its files', async () => {
  const album = join(millrace.directory, 'album')
  await mkdir(join(album, 'deep'), { recursive: true })
  await writeFile(join(album, 'one.txt'), 'one')
  await writeFile(join(album, 'deep', 'two.txt'), 'two')
  const session = await ui.context.newCDPSession(ui.page)
  const data = { items: [], files: [album], dragOperationsMask: 1 }
  await session.send('Input.dispatchDragEvent', { type: 'dragEnter', x: 500, y: 500, data })
  await session.send('Input.dispatchDragEvent', { type: 'dragOver', x: 500, y: 500, data })
  await ui.page.getByText('Drop to upload').waitFor()
  await session.send('Input.dispatchDragEvent', { type: 'drop', x: 500, y: 500, data })
  await ui.title('2 files uploaded').waitFor()
  await ui.page.getByText('Drop to upload').waitFor({ state: 'detached' })
  const names = (await ui.list('?prefix=album/')).map(({ filename }) => filename)
  assert.equal(names.toSorted(), ['album/deep/two.txt', 'album/one.txt'])
  assert.equal(ui.errors, [])
})

test('the keyboard opens the dialog and the menu', async () => {
  const file = join(millrace.directory, 'keyboard.txt')
  await writeFile(file, 'keyboard')
  await ui.chooseFile(file, () => ui.page.keyboard.press('u'))
  await ui.title('1 file uploaded').waitFor()

  await ui.page.getByRole('button', { name: 'More ways to upload' }).press('Enter')
  await ui.page.getByRole('menuitem', { name: 'Files' }).and(ui.page.locator(':focus')).waitFor()
  await ui.page.keyboard.press('ArrowDown')
  await ui.page.getByRole('menuitem', { name: 'Folder' }).and(ui.page.locator(':focus')).waitFor()
  await ui.page.keyboard.press('Escape')
  await ui.page.getByRole('menuitem', { name: 'Folder' }).waitFor({ state: 'hidden' })

  await ui.page.keyboard.press('?')
  await ui.page.getByRole('dialog').getByText('Upload files').waitFor()
  assert.equal(ui.errors, [])
})

test('two thousand files at once are shown by few rows, and can be paused and cancelled together', async () => {
  const isStorage = (address: URL) => address.origin !== new URL(millrace.url).origin
  await ui.page.route(isStorage, (route, request) =>
    request.method() === 'PUT' ? undefined : route.continue(),
  )
  await ui.drop(Array.from({ length: 2_000 }, (_, index) => smallFile(`note ${index}.txt`)))
  await ui.title('Sending 1 of 2000').waitFor()
  assert.ok((await ui.page.locator('.sending-row').count()) < 30)
  await ui.page.locator('.sending-rows').evaluate((rows) => {
    if ('scrollTop' in rows) rows.scrollTop = 1e9
  })
  await ui.row('note 1999.txt').waitFor()
  await ui.button('Pause all').click()
  await ui.title('2000 files paused').waitFor()
  await ui.button('Cancel all').click()
  await ui.page
    .getByRole('dialog', { name: 'Cancel 2000 files?' })
    .getByRole('button', { name: 'Cancel them' })
    .click()
  await ui.title('Cancelled').waitFor()
  await ui.untilNoneIsAwaited()
  assert.equal(ui.errors, [])
})

test('a paused file goes on with what S3 does not have', async () => {
  const parts = await ui.watchParts('held')
  await ui.drop([largeFile('film.bin')])
  await parts.held
  await parts.untilAccepted(1)
  await ui.button('Pause film.bin').click()
  await ui.state('film.bin', /^Paused at \d+\s%$/).waitFor()
  await ui.title('1 file paused').waitFor()
  await parts.release()
  assert.equal(parts.accepted(), [1])
  await ui.button('Resume film.bin').click()
  await ui.title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await ui.list()).map(({ size, state }) => [size, state]),
    [[largeBytes, 'ready']],
  )
  assert.equal(ui.errors, [])
})

test('a cancelled file is erased, and can be uploaded again', async () => {
  const parts = await ui.watchParts('held')
  const erased = ui.page.waitForResponse((response) => response.request().method() === 'DELETE')
  await ui.drop([largeFile('no.bin')])
  await parts.held
  await ui.button('Cancel no.bin').click()
  await ui.state('no.bin', 'Cancelled').waitFor()
  assert.is((await ui.context.request.get((await erased).url())).status(), 404)
  await parts.release()
  await ui.button('Upload again: no.bin').click()
  await ui.title('1 file uploaded').waitFor()
  assert.is((await ui.list()).length, 1)
  assert.equal(ui.errors, [])
})

test('a failed file goes on with what S3 does not have', async () => {
  const parts = await ui.watchParts('held')
  await ui.drop([largeFile('stop.bin')])
  // A failure stops the other part, which S3 may have got without a response.
  await Promise.all([parts.held, parts.untilAccepted(1)])
  await parts.refuse(400)
  await ui.state('stop.bin', 'The storage returned status 400.').waitFor()
  await ui.title('1 file needs attention').waitFor()
  await parts.release()
  await ui.button('Try again: stop.bin').click()
  await ui.title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.is((await ui.list()).length, 1)
})

test('the open tray has no barriers, in both color schemes and on a phone of 360 pixels', async () => {
  const parts = await ui.watchParts('held')
  const longName = `${'a very long file name '.repeat(8)}.jpg`.trim()
  await ui.drop([
    largeFile('axe.bin'),
    largeFile('queued.bin'),
    { name: longName, type: 'image/jpeg', bytes: truncated(picture) },
  ])
  await parts.held
  await ui.state(longName, 'The JPEG is incomplete').waitFor()
  for (const [colorScheme, width] of [
    ['light', 1100],
    ['dark', 1100],
    ['light', 360],
    ['dark', 360],
  ] as const) {
    await ui.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await ui.page.setViewportSize({ width, height: 780 })
    const texts = await allFindings(ui.page, ['.tray', '.upload-button'], {
      colorsOnly: colorScheme === 'dark',
    })
    assert.equal(texts, [], `${colorScheme}, ${width} px`)
    assert.is(await ui.page.evaluate<number>('document.documentElement.scrollWidth'), width)
  }
  await parts.release()
  assert.equal(ui.errors, [])
})

test.run()
