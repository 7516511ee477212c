import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'
import { largeBytes, largeFile, openTray, smallFile, startTrays, type Tray } from './support/sending-tray.ts'

// The page's globals that are used here. The tests are type-checked with the services, which have no DOM types.
declare const navigator: { storage: { getDirectory(): Promise<OpfsDirectory> } }
type OpfsFile = { createWritable(): Promise<{ write(data: unknown): Promise<void>; close(): Promise<void> }> }
type OpfsDirectory = { getFileHandle(name: string, options?: { create: boolean }): Promise<OpfsFile> }

const test = suite('interrupted sending in the console', {}, { limitMs: 120_000 })

let millrace: Awaited<ReturnType<typeof startTrays>>
let ui: Tray

test.before(async () => {
  millrace = await startTrays()
})
test.after(() => millrace?.close())
test.before.each(async () => {
  ui = await millrace.open()
})

test('after a reload the same file, chosen again, continues the same upload', async () => {
  const file = join(millrace.directory, 'cut.bin')
  await writeFile(file, Buffer.alloc(largeBytes, 'x'))
  const parts = await ui.watchParts('held')
  await ui.chooseFile(file, () => ui.page.keyboard.press('u'))
  await parts.held
  await parts.untilAccepted(1)
  const asked = ui.page.waitForEvent('dialog')
  const reloaded = ui.page.reload()
  await (await asked).accept()
  await reloaded

  await ui.title('1 file was interrupted').waitFor()
  await ui.tray().getByText('Choose it again to go on.').waitFor()
  const [before] = await ui.list()
  await parts.release()
  await ui.chooseFile(file, () => ui.button('Choose it again').click())
  await ui.title('1 file uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await ui.list()).map(({ id, state }) => [id, state]),
    [[before?.id, 'ready']],
  )

  await ui.page.reload()
  await ui.untilLoaded()
  assert.is(await ui.tray().count(), 0)
})

test('after a reload the browser opens files again that it may read, and asks for others', async () => {
  const { context, page } = await millrace.openBlank()
  await context.addInitScript({
    content: `
      window.showOpenFilePicker = async () => [await (await navigator.storage.getDirectory()).getFileHandle('kept.bin')]
      FileSystemHandle.prototype.queryPermission = async () => sessionStorage.permission
      FileSystemHandle.prototype.requestPermission = async () => 'granted'
    `,
  })
  for (const permission of ['prompt', 'granted']) {
    ui = await openTray(permission === 'prompt' ? page : await context.newPage(), millrace.url)
    await ui.page.evaluate(async (size) => {
      const opfs = await navigator.storage.getDirectory()
      const writable = await (await opfs.getFileHandle('kept.bin', { create: true })).createWritable()
      await writable.write(new Uint8Array(size))
      await writable.close()
    }, largeBytes)
    await ui.page.evaluate(`sessionStorage.permission = '${permission}'`)
    const parts = await ui.watchParts('held')
    ui.page.on('dialog', (dialog) => dialog.accept())
    await ui.page.keyboard.press('u')
    await parts.held
    await parts.untilAccepted(1)
    await ui.page.reload()
    if (permission === 'prompt') {
      await ui.title('1 file was interrupted').waitFor()
      await parts.release()
      await ui.button('Go on').click()
    } else await parts.release()
    await ui.title('1 file uploaded').waitFor()
    assert.equal(parts.accepted(), [1, 2])
  }
  assert.is((await ui.list()).length, 2)
  await context.close()
})

test('an interrupted file that is forgotten is erased', async () => {
  const parts = await ui.watchParts('held')
  ui.page.on('dialog', (dialog) => dialog.accept())
  await ui.drop([largeFile('forget.bin'), smallFile('other.txt')])
  await parts.held
  await ui.state('other.txt', 'Ready').waitFor()
  await ui.page.reload()
  await ui.title('1 file was interrupted').waitFor()
  await ui.button('Forget').click()
  await ui.tray().waitFor({ state: 'detached' })
  await ui.untilNoneIsAwaited()
  await ui.page.reload()
  await ui.untilLoaded()
  assert.is(await ui.tray().count(), 0)
})

test('without a network the files wait, and go on by themselves', async () => {
  const parts = await ui.watchParts('held')
  await ui.drop([largeFile('train.bin'), smallFile('ticket.txt')])
  await parts.held
  await parts.untilAccepted(1)
  await ui.context.setOffline(true)
  await ui.title('Waiting for the network').waitFor()
  await ui.state('train.bin', 'Waiting for the network').waitFor()
  await ui.page
    .getByRole('status')
    .filter({ hasText: 'Waiting for the network.' })
    .waitFor({ state: 'attached' })
  await ui.drop([smallFile('later.txt')])
  await ui.state('later.txt', 'Queued').waitFor()
  await parts.release()
  await ui.context.setOffline(false)
  await ui.title('3 files uploaded').waitFor()
  assert.equal(parts.accepted(), [1, 2])
  assert.is((await ui.list()).length, 3)
  assert.equal(
    ui.errors.filter((error) => !error.includes('net::ERR_INTERNET_DISCONNECTED')),
    [],
  )
})

test('API instances and a worker that are killed are a short wait', async () => {
  const parts = await ui.watchParts('held')
  const bytes = await samplePicture(4000, 3000).jpeg().toBuffer()
  await ui.drop([largeFile('killed.bin'), { name: 'photo.jpg', type: 'image/jpeg', bytes }])
  await ui
    .state('photo.jpg', /waiting for a worker|Processing|Inspecting|Rendering|Publishing|Ready/)
    .waitFor()
  kill('packages/worker/src/main.ts')
  await parts.held
  kill('packages/api/src/main.ts')
  await parts.release()
  await ui.title('2 files uploaded').waitFor({ timeout: 50_000 })
  assert.equal(parts.accepted(), [1, 2])
  assert.equal(
    (await ui.list()).map(({ state }) => state),
    ['ready', 'ready'],
  )
})

test('pages side by side send their own files', async () => {
  const parts = await ui.watchParts('held')
  await ui.drop([largeFile('first.bin')])
  await parts.held
  const second = await openTray(await ui.context.newPage(), millrace.url)
  await second.drop([smallFile('second.txt')])
  await second.title('1 file uploaded').waitFor()
  assert.is(await second.row('first.bin').count(), 0)
  await second.page.close()

  const other = await millrace.openOther()
  await other.drop([smallFile('first.bin')])
  await other.title('1 file uploaded').waitFor()
  await other.context.close()
  await parts.release()
  await ui.title('1 file uploaded').waitFor()
  assert.equal((await ui.list()).map(({ filename }) => filename).toSorted(), ['first.bin', 'second.txt'])
  assert.equal([...ui.errors, ...second.errors, ...other.errors], [])
})

test.run()

/** Kills all processes of a service, as a machine's end does. The system starts others. */
function kill(command: string): void {
  const processes = millrace.processes().filter((each) => each.command.includes(command))
  assert.ok(processes.length > 0)
  for (const { pid } of processes) process.kill(pid, 'SIGKILL')
}
