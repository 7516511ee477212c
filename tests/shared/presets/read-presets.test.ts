import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acceptsType, builtInPresets } from '@millrace/shared/presets/preset.ts'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('presets file')
let directory: string

test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-presets-'))
})
test.after(() => rmSync(directory, { recursive: true }))

function fileOf(content: string): string {
  const path = join(directory, 'presets.json')
  writeFileSync(path, content)
  return path
}

const variant = { name: 'w320', fit: 'inside', width: 320, format: 'webp', quality: 80 }

test('gives the built-in preset where there is no file', () => {
  assert.is(readPresets({}), builtInPresets)
})

test('adds presets to the built-in one, or puts one in its place', () => {
  const contract = { name: 'contract', accept: ['application/pdf'], variants: [] }
  const added = readPresets({ PRESETS_FILE: fileOf(JSON.stringify([contract])) })
  assert.equal([...added.keys()], ['default', 'contract'])
  assert.equal(added.get('contract'), contract)
  const replaced = readPresets({
    PRESETS_FILE: fileOf(JSON.stringify([{ name: 'default', variants: [variant] }])),
  })
  assert.equal([...replaced], [['default', { name: 'default', variants: [variant] }]])
})

test('takes the list itself as well, but not both', () => {
  const own = [{ name: 'contract', accept: ['application/pdf'], variants: [] }]
  assert.equal([...readPresets({ PRESETS: JSON.stringify(own) }).keys()], ['default', 'contract'])
  assert.throws(() => readPresets({ PRESETS: '[{' }), /^PRESETS is not JSON: /)
  assert.throws(() => readPresets({ PRESETS: '[]', PRESETS_FILE: fileOf('[]') }), /both set/)
})

for (const [name, content, says] of [
  ['no JSON', '[{', /^PRESETS_FILE is not JSON: /],
  ['no list', '{}', /^PRESETS_FILE is not a list of presets: must be array\.$/],
  ['a field nobody knows', [{ name: 'a', variants: [], colour: 1 }], /\/0 must not have additional/],
  ['a name that is no part of a key', [{ name: '../a', variants: [] }], /\/0\/name must match pattern/],
  [
    'a type that is none',
    [{ name: 'a', accept: ['jpg'], variants: [] }],
    /\/0\/accept\/0 must match pattern/,
  ],
  ['nothing accepted', [{ name: 'a', accept: [], variants: [] }], /\/0\/accept must not have fewer/],
  [
    'an unknown format',
    [{ name: 'a', variants: [{ ...variant, format: 'bmp' }] }],
    /\/0\/variants\/0\/format/,
  ],
  ['a preset twice', [variantless('a'), variantless('a')], /^PRESETS_FILE has twice: the preset a\.$/],
  ['a variant twice', [{ name: 'a', variants: [variant, variant] }], /has twice: a's variant w320\.$/],
] satisfies [string, unknown, RegExp][]) {
  test(`refuses a file with ${name}`, () => {
    const path = fileOf(typeof content === 'string' ? content : JSON.stringify(content))
    assert.throws(
      () => readPresets({ PRESETS_FILE: path }),
      (error: Error) => error.name === 'EnvironmentError' && says.test(error.message),
    )
  })
}

test('refuses a file that is not there', () => {
  assert.throws(
    () => readPresets({ PRESETS_FILE: join(directory, 'none.json') }),
    /^PRESETS_FILE cannot be read\.$/,
  )
})

function variantless(name: string) {
  return { name, variants: [] }
}

test('accepts by type, by kind, or everything', () => {
  const accepts = (accept: string[] | undefined, type: string | undefined) =>
    acceptsType({ name: 'a', variants: [], ...(accept && { accept }) }, type)
  assert.is(accepts(undefined, undefined), true)
  assert.is(accepts(['image/*'], 'image/png'), true)
  assert.is(accepts(['image/*'], 'imagery/png'), false)
  assert.is(accepts(['image/png'], 'image/png'), true)
  assert.is(accepts(['image/png'], 'image/png-x'), false)
  assert.is(accepts(['image/png', 'application/pdf'], 'application/pdf'), true)
  assert.is(accepts(['image/*'], undefined), false)
})

test.run()
