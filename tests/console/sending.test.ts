import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { chosenFile, interruptedFile, openSending, upload } from './support/open-sending.ts'
import { providePageGlobals } from './support/page-globals.ts'

const test = suite('sending in the console, without a browser')

let page: ReturnType<typeof providePageGlobals>

test.before(() => {
  page = providePageGlobals()
})
test.after(() => page?.close())

test('a file is shown as sent and then as the stream tells of its upload', async () => {
  const ui = openSending()
  ui.sending.add([chosenFile('note.txt')])
  const attempt = await ui.attempt(1)
  attempt.announce('1')
  attempt.end(upload('1'))
  await ui.shown(([file]) => file?.phase === 'sent')
  assert.equal([...ui.stored.values()], [])
  ui.stream().onChange?.(upload('1', { state: 'ready' }))
  await ui.shown(([file]) => file?.phase === 'ready')
  ui.close()
})

test('a paused file that the browser may read stays paused after a reload, and on the page after it', async () => {
  const ui = openSending({ interrupted: [interruptedFile('paused.txt', { isPaused: true })] })
  await ui.shown(([file]) => file?.phase === 'paused')
  assert.is(ui.stored.get('paused.txt')?.isPaused, true)
  assert.is(ui.attempts.length, 0)
  ui.close()
})

test.run()
