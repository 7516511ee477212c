import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPresetsFile } from '@millrace/shared/presets/load-presets-file.ts'
import * as assert from 'uvu/assert'
import { readProjectPresets } from '../../stacks/project-presets.ts'
import { suite } from '../support/suite.ts'

const test = suite('presets of a project')
const presets = [{ name: 'own', variants: [] }]
let folder: string

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-project-'))
})
test.after.each(() => rmSync(folder, { recursive: true }))

function read(environment: Record<string, string> = {}) {
  const problems: string[] = []
  const variables = readProjectPresets(folder, environment, (problem) => problems.push(problem))
  return { variables, problems }
}

test('instances get the presets file of the project as JSON', () => {
  assert.equal(read(), { variables: {}, problems: [] })
  writeFileSync(join(folder, 'presets.config.ts'), `export default ${JSON.stringify(presets)}`)
  assert.equal(read(), { variables: { PRESETS: JSON.stringify(presets) }, problems: [] })
})

test('presets that the settings name replace the file', () => {
  writeFileSync(join(folder, 'presets.config.ts'), "throw new Error('not read')")
  assert.equal(read({ PRESETS: '[]' }), { variables: {}, problems: [] })
  assert.equal(read({ PRESETS_FILE: '/presets.json' }), { variables: {}, problems: [] })
})

test('problems of the file are reported', () => {
  writeFileSync(join(folder, 'presets.json'), '[{}]')
  assert.equal(read().problems, ['PRESETS_FILE[0].name is missing.', 'PRESETS_FILE[0].variants is missing.'])
})

test('presets.config.ts is found before presets.json', () => {
  assert.is(findPresetsFile(folder, {}), undefined)
  writeFileSync(join(folder, 'presets.json'), '[]')
  assert.is(findPresetsFile(folder, {}), join(folder, 'presets.json'))
  writeFileSync(join(folder, 'presets.config.ts'), '')
  assert.is(findPresetsFile(folder, {}), join(folder, 'presets.config.ts'))
  assert.is(findPresetsFile(folder, { PRESETS: '[]' }), undefined)
  assert.is(findPresetsFile(folder, { PRESETS: '' }), join(folder, 'presets.config.ts'))
})

test.run()
