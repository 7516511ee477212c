import { setImmediate as turn } from 'node:timers/promises'
import { SendError } from '@millrace/client'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import {
  chosenFile,
  folderHandle,
  interruptedFile,
  notFound,
  openSending,
  upload,
} from './support/open-sending.ts'
import { providePageGlobals } from './support/page-globals.ts'

const test = suite('sending in the console, without a browser')

const pages: ReturnType<typeof openSending>[] = []
let page: ReturnType<typeof providePageGlobals>

test.before.each(() => {
  page = providePageGlobals()
})
test.after.each(async () => {
  for (const ui of pages.splice(0)) await ui.close()
  page?.close()
})

test('a file is shown as sent and then as the stream tells of its upload', async () => {
  const ui = open()
  ui.sending.add([chosenFile('note.txt')])
  const attempt = await ui.attempt(1)
  attempt.announce('1')
  attempt.end(upload('1'))
  await ui.shown(([file]) => file?.phase === 'sent')
  assert.equal([...ui.stored.values()], [])
  ui.stream().onChange?.(upload('1', { state: 'ready' }))
  await ui.shown(([file]) => file?.phase === 'ready')
})

test('an interrupted file that is opened twice at once is sent once', async () => {
  const openings = [Promise.withResolvers<File>(), Promise.withResolvers<File>()]
  const asked = [...openings]
  const getFile = async () => (await asked.shift()?.promise) ?? chosenFile('cut.txt')
  const ui = open({ interrupted: [interruptedFile('cut.txt', { getFile })] })
  await ui.shown(([file]) => file?.phase === 'interrupted')
  const goesOn = ui.sending.goOn(['cut.txt'])
  openings[0]?.resolve(chosenFile('cut.txt'))
  await ui.attempt(1)
  openings[1]?.resolve(chosenFile('cut.txt'))
  await goesOn
  await turn()
  assert.is(ui.attempts.length, 1)
})

test('an interrupted file that is chosen again while it cannot be opened shows no problem', async () => {
  const opened = Promise.withResolvers<File>()
  const ui = open({ interrupted: [interruptedFile('cut.txt', { getFile: () => opened.promise })] })
  await ui.shown(([file]) => file?.phase === 'interrupted')
  ui.sending.add([chosenFile('cut.txt')])
  await ui.attempt(1)
  opened.reject(new DOMException('It is gone.', 'NotFoundError'))
  await turn()
  const announced = ui.shown(([file]) => file?.uploadId === '1')
  ui.attempts[0]?.announce('1')
  await announced
  assert.is(ui.sending.files.peek()[0]?.problem, undefined)
})

test('an interrupted file that is chosen again is opened by its new handle on the page after this one', async () => {
  const ui = open({ interrupted: [interruptedFile('cut.txt')] })
  await ui.shown(([file]) => file?.phase === 'interrupted')
  const { handle } = interruptedFile('cut.txt')
  assert.ok(handle)
  ui.sending.add([{ file: chosenFile('cut.txt'), handle }])
  await ui.attempt(1)
  assert.is(ui.stored.get('cut.txt')?.handle, handle)
})

test('a file of a folder that is opened again after a reload keeps its folder for the page after this one', async () => {
  const record = interruptedFile('cut.txt')
  const folder = folderHandle('album')
  const ui = open({ interrupted: [{ ...record, folder }] })
  await ui.attempt(1)
  assert.is(ui.stored.get('cut.txt')?.handle, record.handle)
  assert.is(ui.stored.get('cut.txt')?.folder, folder)
})

test('interrupted files go on although the browser does not ask for the folder of one of them', async () => {
  const refuses = () => Promise.reject(new DOMException('There was no click.', 'SecurityError'))
  const ui = open({
    interrupted: [
      interruptedFile('first.txt', { requestPermission: refuses }),
      interruptedFile('second.txt', { requestPermission: async () => 'granted' }),
    ],
  })
  await ui.shown((files) => files.length === 2)
  await ui.sending.goOn(['first.txt', 'second.txt'])
  assert.is((await ui.attempt(1)).filename, 'second.txt')
})

test('a paused file that goes on after a reload is not paused on the page after it', async () => {
  const ui = open({
    interrupted: [
      interruptedFile('opened.txt', { isPaused: true, requestPermission: async () => 'granted' }),
      interruptedFile('chosen.txt', { isPaused: true, requestPermission: async () => 'granted' }),
    ],
  })
  await ui.shown((files) => files.length === 2)
  ui.sending.add([chosenFile('chosen.txt')])
  await ui.sending.goOn(['opened.txt'])
  assert.equal(
    [...ui.stored.values()].map(({ filename, isPaused }) => [filename, isPaused]),
    [
      ['opened.txt', false],
      ['chosen.txt', false],
    ],
  )
})

test('a paused file that the browser may read stays paused after a reload, and on the page after it', async () => {
  const ui = open({ interrupted: [interruptedFile('paused.txt', { isPaused: true })] })
  await ui.shown(([file]) => file?.phase === 'paused')
  assert.is(ui.stored.get('paused.txt')?.isPaused, true)
  assert.is(ui.attempts.length, 0)
})

test('a file that was paused before the session was open is paused on the page after it', async () => {
  const session = Promise.withResolvers<void>()
  const ui = open({ opened: session.promise })
  ui.sending.add([chosenFile('note.txt'), chosenFile('other.txt')])
  ui.sending.pause(ui.sending.files.peek()[0]?.key ?? '')
  session.resolve()
  await ui.attempt(1)
  assert.equal(
    [...ui.stored.values()].map(({ filename, isPaused = false }) => [filename, isPaused]),
    [
      ['note.txt', true],
      ['other.txt', false],
    ],
  )
})

test('the page after this one knows the upload of a file that has failed and is tried again', async () => {
  const ui = open()
  ui.sending.add([chosenFile('note.txt')])
  const attempt = await ui.attempt(1)
  attempt.announce('1')
  attempt.end(new SendError(400, 'The storage returned status 400.'))
  await ui.shown(([file]) => file?.phase === 'failed')
  await ui.sending.retry(ui.sending.files.peek()[0]?.key ?? '')
  assert.equal(
    [...ui.stored.values()].map(({ uploadId }) => uploadId),
    ['1'],
  )
})

test('a sent file that was erased while the stream was interrupted leaves the list', async () => {
  const ui = open({ get: () => Promise.reject(notFound) })
  ui.sending.add([chosenFile('note.txt')])
  const attempt = await ui.attempt(1)
  attempt.announce('1')
  attempt.end(upload('1'))
  await ui.shown(([file]) => file?.phase === 'sent')
  ui.stream().onSnapshot?.([], undefined)
  await turn()
  assert.ok(ui.stream().signal?.aborted, 'The page still follows it.')
  await ui.shown((files) => files.length === 0)
})

test('a file that is cancelled twice is sent again only after its first erasure has ended', async () => {
  const erased = Promise.withResolvers<void>()
  const ui = open({ erased: erased.promise })
  ui.sending.add([chosenFile('note.txt')])
  await ui.attempt(1)
  const key = ui.sending.files.peek()[0]?.key ?? ''
  ui.sending.cancel(key)
  await ui.sending.retry(key)
  ui.sending.cancel(key)
  await turn()
  await ui.sending.retry(key)
  await turn()
  assert.is(ui.attempts.length, 1)
  erased.resolve()
  await ui.attempt(2)
})

test('a file that was erased elsewhere is sent again only after its attempt has ended', async () => {
  const erased = Promise.withResolvers<void>()
  const ui = open({ erased: erased.promise })
  ui.sending.add([chosenFile('note.txt')])
  const attempt = await ui.attempt(1)
  attempt.announce('1')
  ui.stream().onErased?.({ id: '1' })
  await ui.shown(([file]) => file?.problem === 'It was deleted elsewhere.')
  await ui.sending.retry(ui.sending.files.peek()[0]?.key ?? '')
  await turn()
  assert.is(ui.attempts.length, 1)
  erased.resolve()
  await ui.attempt(2)
})

test.run()

function open(options?: Parameters<typeof openSending>[0]) {
  const ui = openSending(options)
  pages.push(ui)
  return ui
}
