import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runCommand } from '../support/run-command.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm run reconcile', {}, { limitMs: 90_000 })
const program = join(import.meta.dirname, '../../packages/local/src/reconcile-main.ts')
let sandbox: Sandbox

test.before.each(async () => {
  sandbox = await createSandbox()
})
test.after.each(() => sandbox.remove())

test('npm run reconcile sweeps the bucket of a running npm start, and says if none runs', async () => {
  const reconcile = (...parameters: string[]) =>
    runCommand(program, ['--data', sandbox.directory, ...parameters], { ...process.env })
  const alone = await reconcile()
  assert.is(alone.code, 2)
  assert.match(alone.errors, `Millrace does not run on ${sandbox.directory}`)

  const millrace = startWithNode(sandbox, ['--port', '0', '--workers', '1'])
  await millrace.ready
  const dry = await reconcile('--dry-run')
  assert.equal([dry.code, dry.errors], [0, ''])
  assert.match(dry.output, 'Dry run: 0 would be corrected, nothing was changed.\n')
  millrace.signal('SIGTERM')
  await millrace.ended
  assert.is((await reconcile()).code, 2)
})

test('npm run reconcile explains its options', async () => {
  const { code, output } = await runCommand(program, ['--help'], { ...process.env })
  assert.is(code, 0)
  assert.match(output, '--dry-run')
  assert.is((await runCommand(program, ['--wet-run'], { ...process.env })).code, 2)
})

test.run()
