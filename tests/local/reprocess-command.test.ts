import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runCommand } from '../support/run-command.ts'
import { createSandbox } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm run reprocess')
const program = join(import.meta.dirname, '../../packages/local/src/reprocess-main.ts')

test('npm run reprocess explains its options, and says if Millrace does not run', async () => {
  const { code, output } = await runCommand(program, ['--help'], { ...process.env })
  assert.is(code, 0)
  assert.match(output, '--dry-run')
  assert.is((await runCommand(program, ['--now'], { ...process.env })).code, 2)

  const sandbox = await createSandbox()
  const alone = await runCommand(program, ['--data', sandbox.directory], { ...process.env })
  assert.is(alone.code, 2)
  assert.match(alone.errors, `Millrace does not run on ${sandbox.directory}`)
  await sandbox.remove()
})

test.run()
