import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runCommand } from '../support/run-command.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm run doctor', {}, { limitMs: 120_000 })
const program = join(import.meta.dirname, '../../packages/local/src/doctor-main.ts')

test('npm run doctor refuses wrong options and wrong settings, with exit code 3, and checks nothing', async () => {
  const options = await runCommand(program, ['--cure'], { ...process.env })
  assert.equal(options, { code: 3, output: '', errors: "Unknown option '--cure'; see --help.\n" })
  const settings = await runCommand(program, [], {
    ...process.env,
    BUCKET: 'bucket',
    EVENTS_QUEUE_URL: 'queue',
    REDIS_URL: '',
  })
  assert.equal([settings.code, settings.output], [3, ''])
  assert.is(settings.errors, 'EVENTS_QUEUE_URL must be an http:// or https:// URL.\nREDIS_URL is missing.\n')
})

test.run()
