import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const entry = join(import.meta.dirname, '../../fixtures/services/log-and-exit.ts')
const test = suite('log')

test('writes the last line before the process ends', async () => {
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stdin.write('end\n')
  assert.equal(await once(child, 'close'), [0, null])
  assert.match(output, '"msg":"closed"')
})

test('lets a process end whose reader is gone', async () => {
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.stdin.write('end\n')
  assert.equal(await once(child, 'exit'), [0, null])
})

test.run()
