import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const entry = join(import.meta.dirname, '../../fixtures/services/log-then-exit.ts')
const test = suite('log')

test('the log writes its last line before the process exits', async () => {
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stdin.write('end\n')
  assert.equal(await once(child, 'close'), [0, null])
  assert.match(output, '"msg":"closed"')
})

test('a process exits although the reader of its log is gone', async () => {
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.stdin.write('end\n')
  assert.equal(await once(child, 'exit'), [0, null])
})

test.run()
