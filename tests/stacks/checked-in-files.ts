import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { cloudPage } from './cloud-diagram.ts'
import { production, twoRegions } from './clouds.ts'

const test = suite('types and the drawn page')

// Takes some seconds of another core, so it starts before its test. Further threads would cost a third more CPU time. A build knows
// what it has checked before: `npm run check` and this test check the same files once.
const types = promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-b', 'stacks', '--singleThreaded'], {
  cwd: root,
}).then(
  () => '',
  (error: { stdout?: string }) => error.stdout ?? String(error),
)

test('sst.config.ts and stacks/ pass the type check against SST and its providers', async () => {
  assert.is(await types, '')
})

test('docs/cloud.md shows the current configuration, as `npm run diagram` writes it', () => {
  assert.is(readFileSync(join(root, 'docs/cloud.md'), 'utf8'), cloudPage({ production, twoRegions }))
})

test.run()
