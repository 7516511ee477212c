import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { definePresets } from '@millrace/shared/presets/define-presets.ts'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('presets module')
let directory: string

test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-presets-'))
  // As in the project's own folder, where modules find its packages.
  mkdirSync(join(directory, 'node_modules'))
  const packages = join(import.meta.dirname, '../../../node_modules/@millrace')
  symlinkSync(packages, join(directory, 'node_modules/@millrace'))
})
test.after(() => rmSync(directory, { recursive: true }))

/** Reads a file of presets. Each has a name of its own, since Node loads a module once. */
function read(name: string, content: string) {
  const path = join(directory, name)
  writeFileSync(path, content)
  const problems: string[] = []
  const presets = readPresets({ PRESETS_FILE: path }, (problem) => problems.push(problem))
  return { presets, problems }
}

const list = "[{ name: 'own', variants: [{ name: 'a', width: 9, format: 'webp' }] }]"
const importing = "import { definePresets } from '@millrace/shared/presets/define-presets.ts'\n"

test('PRESETS_FILE may be a module in TypeScript or JavaScript', () => {
  for (const [name, content] of [
    [
      'presets.config.ts',
      `${importing}const presets: unknown[] = []\nexport default definePresets(${list})\nvoid presets`,
    ],
    ['presets.mjs', `${importing}export default definePresets(${list})`],
    ['plain.js', `export default ${list}`],
    [
      'computed.ts',
      `const sides: number[] = [9]\nexport default sides.map((width) => ({ name: 'own', variants: [{ name: 'a', width, format: 'webp' }] }))`,
    ],
  ] as const) {
    const { presets, problems } = read(name, content)
    assert.equal(problems, [], name)
    assert.equal(
      presets.get('own'),
      { name: 'own', variants: [{ name: 'a', width: 9, format: 'webp' }] },
      name,
    )
  }
})

test('the presets of a module are checked as those of a JSON file', () => {
  const { problems } = read(
    'wrong.ts',
    `${importing}export default definePresets([{ name: 'own', variants: [{ name: 'a', format: 'bmp' }] }])`,
  )
  assert.equal(problems, [
    'PRESETS_FILE[0].variants[0].format is "bmp"; allowed: webp, jpeg, avif, png, original.',
  ])
  assert.equal(read('object.ts', 'export default {}').problems, [
    'PRESETS_FILE is an object; it must be a list.',
  ])
})

test('a module that fails or exports nothing is reported in one sentence', () => {
  assert.equal(read('throws.ts', "throw new Error('No such tenant.')").problems, [
    'PRESETS_FILE cannot be loaded: No such tenant.',
  ])
  assert.equal(read('nothing.ts', `export const presets = ${list}`).problems, [
    'PRESETS_FILE has no default export; it must export a list of presets as default.',
  ])
  for (const [name, content] of [
    ['syntax.ts', 'export default ['],
    ['enum.ts', 'enum Side { small = 1 }\nexport default []\nvoid Side'],
    ['missing-import.ts', "import x from './none.ts'\nexport default x"],
    ['await.ts', 'export default await Promise.resolve([])'],
    ['null.ts', 'throw null'],
  ] as const) {
    const { problems } = read(name, content)
    assert.is(problems.length, 1, name)
    assert.match(problems[0] ?? '', /^PRESETS_FILE cannot be loaded: [^\n]+[^.]\.$/, name)
  }
  const problems: string[] = []
  const path = join(directory, 'none.ts')
  readPresets({ PRESETS_FILE: path }, (problem) => problems.push(problem))
  assert.equal(problems, [`PRESETS_FILE cannot be read: ENOENT: no such file or directory, open '${path}'.`])
})

test('definePresets returns its list, and its types refuse mistakes', () => {
  const presets = definePresets([{ name: 'own', variants: [{ name: 'a', width: 9, format: 'webp' }] }])
  assert.is(presets[0]?.name, 'own')
  // @ts-expect-error: no such format
  definePresets([{ name: 'own', variants: [{ name: 'a', format: 'bmp' }] }])
  // @ts-expect-error: a misspelled setting
  definePresets([{ name: 'own', variants: [{ name: 'a', format: 'webp', qualty: 3 }] }])
})

test.run()
