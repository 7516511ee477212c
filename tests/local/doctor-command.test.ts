import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runCommand } from '../support/run-command.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm run doctor', {}, { limitMs: 120_000 })
const program = join(import.meta.dirname, '../../packages/local/src/doctor-main.ts')
let sandbox: Sandbox

test.before.each(async () => {
  sandbox = await createSandbox()
})
test.after.each(() => sandbox.remove())

const doctor = (parameters: string[], environment: NodeJS.ProcessEnv = {}) =>
  runCommand(program, parameters, { ...process.env, ...environment })

test('npm run doctor finds nothing wrong with a running npm start, and what breaks', async () => {
  const data = ['--data', sandbox.directory]
  const alone = await doctor(data)
  assert.equal([alone.code, alone.output], [3, ''])
  assert.match(alone.errors, /^Millrace does not run on [^\n]*\n$/)

  const millrace = startWithNode(sandbox, ['--port', '0', '--workers', '1'])
  await millrace.ready
  const { code, output, errors } = await doctor([...data, '--json'])
  assert.is(errors, '')
  const report = JSON.parse(output)
  const wrong = report.findings.filter(({ severity }: { severity: string }) =>
    ['warning', 'error'].includes(severity),
  )
  // A machine of CI may have little space left.
  assert.equal(
    wrong.filter(({ check }: { check: string }) => check !== 'disk'),
    [],
  )
  assert.is(report.exitCode, code)
  const texts = report.findings.map(({ text }: { text: string }) => text).join('\n')
  assert.match(texts, /A small image went through in/)
  assert.match(texts, '1 worker running.')

  const broken = await doctor([...data, '--origin', 'http://127.0.0.1:1'])
  assert.is(broken.code, 2)
  assert.match(broken.output, '✖ The API does not answer at http://127.0.0.1:1.\n    Start it')
  assert.match(broken.output, /\n\d+ errors?(, \d+ warnings?)?\.\n$/)
  millrace.signal('SIGTERM')
  await millrace.ended
})

test('npm run doctor explains its options, and refuses others in one sentence', async () => {
  const { code, output } = await doctor(['--help'])
  assert.is(code, 0)
  assert.match(output, '--stage NAME')
  assert.is((await doctor(['--cure'])).code, 3)
  const wrong = await doctor([], { BUCKET: 'bucket', EVENTS_QUEUE_URL: 'queue', REDIS_URL: '' })
  assert.is(wrong.code, 3)
  assert.match(wrong.errors, /EVENTS_QUEUE_URL/)
  assert.match(wrong.errors, /REDIS_URL/)
  assert.not.match(wrong.errors, /\n\s+at /)
})

test.run()
