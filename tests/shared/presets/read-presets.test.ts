import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  acceptsType,
  builtInPresets,
  defaultPreset,
  mayAcceptDeclared,
} from '@millrace/shared/presets/preset.ts'
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

/** Reads presets that must be without problems. */
function read(variables: { PRESETS?: string; PRESETS_FILE?: string }) {
  return readPresets(variables, (problem) => assert.unreachable(problem))
}

/** Reads presets and returns the problems. */
function problemsOf(variables: { PRESETS?: string; PRESETS_FILE?: string }): string[] {
  const problems: string[] = []
  readPresets(variables, (problem) => problems.push(problem))
  return problems
}

const variant = { name: 'w320', fit: 'inside', width: 320, format: 'webp', quality: 80 }

/** The problems of one preset with one variant that differs from a valid one. */
function problemsOfVariant(changes: object): string[] {
  const preset = { name: 'a', variants: [{ ...variant, ...changes }] }
  return problemsOf({ PRESETS: JSON.stringify([preset]) })
}

test('readPresets returns the built-in preset if no variable is set', () => {
  assert.is(read({}), builtInPresets)
})

test('readPresets adds presets to the built-in one, or replaces it', () => {
  const contract = { name: 'contract', accept: ['application/pdf'], variants: [] }
  const added = read({ PRESETS_FILE: fileOf(JSON.stringify([contract])) })
  assert.equal([...added.keys()], ['default', 'contract'])
  assert.equal(added.get('contract'), contract)
  const replaced = read({ PRESETS_FILE: fileOf(JSON.stringify([{ name: 'default', variants: [variant] }])) })
  assert.equal([...replaced], [['default', { name: 'default', variants: [variant] }]])
})

test('readPresets accepts the built-in preset and every limit of a format', () => {
  assert.equal(problemsOf({ PRESETS: JSON.stringify([defaultPreset]) }), [])
  const variants = [
    { ...variant, name: 'a', effort: 0, width: 1, quality: 1 },
    { ...variant, name: 'b', effort: 6, width: 16_383, height: 16_383, quality: 100 },
    { ...variant, name: 'c', format: 'avif', effort: 9, width: 16_383 },
    { ...variant, name: 'd', format: 'jpeg', fit: 'cover', height: 200 },
    { ...variant, name: 'e', format: 'png' },
  ]
  assert.equal(problemsOf({ PRESETS: JSON.stringify([{ name: 'a', variants }]) }), [])
})

test('readPresets reads PRESETS or PRESETS_FILE and reports both as a problem', () => {
  const own = [{ name: 'contract', accept: ['application/pdf'], variants: [] }]
  assert.equal([...read({ PRESETS: JSON.stringify(own) }).keys()], ['default', 'contract'])
  assert.equal(problemsOf({ PRESETS: '[]', PRESETS_FILE: fileOf('[]') }), [
    'PRESETS and PRESETS_FILE are both set; set only one of them.',
  ])
})

for (const [name, changes, problems] of [
  [
    'an unknown fit',
    { fit: 'crop' },
    ['PRESETS[0].variants[0].fit is "crop"; allowed: inside, cover, contain, outside, fill.'],
  ],
  [
    'an unknown format',
    { format: 'bmp' },
    ['PRESETS[0].variants[0].format is "bmp"; allowed: webp, jpeg, avif, png, original.'],
  ],
  [
    'effort 7 for WebP',
    { effort: 7 },
    ['PRESETS[0].variants[0].effort is 7; for webp it must be an integer from 0 to 6.'],
  ],
  [
    'effort 10 for AVIF',
    { format: 'avif', effort: 10 },
    ['PRESETS[0].variants[0].effort is 10; for avif it must be an integer from 0 to 9.'],
  ],
  [
    'an effort for JPEG',
    { format: 'jpeg', effort: 4 },
    ['PRESETS[0].variants[0].effort is 4; jpeg has no effort, so it must be left out.'],
  ],
  [
    'an effort for PNG',
    { format: 'png', effort: 4 },
    ['PRESETS[0].variants[0].effort is 4; png has no effort, so it must be left out.'],
  ],
  [
    'an effort that is no number',
    { effort: 'fast' },
    ['PRESETS[0].variants[0].effort is "fast"; it must be an integer.'],
  ],
  [
    'cover without a height',
    { fit: 'cover' },
    ['PRESETS[0].variants[0].height is missing; fit "cover" requires it.'],
  ],
  [
    'a size that WebP cannot hold',
    { width: 16_384, height: 0 },
    [
      'PRESETS[0].variants[0].width is 16384; it must be an integer from 1 to 16383.',
      'PRESETS[0].variants[0].height is 0; it must be an integer from 1 to 16383.',
    ],
  ],
  [
    'a missing and an unknown field',
    { format: undefined, qualty: 80 },
    [
      'PRESETS[0].variants[0].format is missing.',
      'PRESETS[0].variants[0].qualty is unknown; allowed: name, fit, width, height, position, format, quality, effort, lossless, animated, background, sharpen, blur, withoutEnlargement, keepMetadata, gamut, watermark, page, frame.',
    ],
  ],
] satisfies [string, object, string[]][]) {
  test(`readPresets reports a variant with ${name}`, () => {
    assert.equal(problemsOfVariant(changes), problems)
  })
}

for (const [name, content, problems] of [
  ['no list', {}, ['PRESETS_FILE is an object; it must be a list.']],
  ['an entry that is no preset', ['a'], ['PRESETS_FILE[0] is "a"; it must be an object.']],
  [
    'an unknown field',
    [{ name: 'a', variants: [], colour: 1 }],
    ['PRESETS_FILE[0].colour is unknown; allowed: name, accept, variants.'],
  ],
  [
    'an unknown field whose name has a line break',
    [{ name: 'a', variants: [], 'a\nb': 1 }],
    ['PRESETS_FILE[0]["a\\nb"] is unknown; allowed: name, accept, variants.'],
  ],
  [
    'a name that cannot be part of a key',
    [{ name: '../a', variants: [] }],
    [
      'PRESETS_FILE[0].name is "../a"; it must be up to 32 lower-case letters, digits and dashes, and must not begin with a dash.',
    ],
  ],
  [
    'a wrong media type',
    [{ name: 'a', accept: ['jpg'], variants: [] }],
    [
      'PRESETS_FILE[0].accept[0] is "jpg"; it must be a media type such as image/png, or all of a kind such as image/*.',
    ],
  ],
  [
    'an empty list of types',
    [{ name: 'a', accept: [], variants: [] }],
    ['PRESETS_FILE[0].accept has 0 entries; it must have at least 1.'],
  ],
  [
    'too many variants',
    [{ name: 'a', variants: Array.from({ length: 33 }, (_, n) => ({ ...variant, name: `w${n}` })) }],
    ['PRESETS_FILE[0].variants has 33 entries; it must have at most 32.'],
  ],
  [
    'two presets of one name',
    [variantless('a'), variantless('b'), variantless('a')],
    ['PRESETS_FILE[2].name is "a"; it must differ from PRESETS_FILE[0].name.'],
  ],
  [
    'two variants of one name',
    [{ name: 'a', variants: [variant, variant] }],
    ['PRESETS_FILE[0].variants[1].name is "w320"; it must differ from PRESETS_FILE[0].variants[0].name.'],
  ],
  [
    'problems in several presets',
    [{ variants: [] }, { name: 'a', variants: [{ ...variant, effort: 7 }] }],
    [
      'PRESETS_FILE[0].name is missing.',
      'PRESETS_FILE[1].variants[0].effort is 7; for webp it must be an integer from 0 to 6.',
    ],
  ],
] satisfies [string, unknown, string[]][]) {
  test(`readPresets reports a file with ${name}`, () => {
    assert.equal(problemsOf({ PRESETS_FILE: fileOf(JSON.stringify(content)) }), problems)
  })
}

test('readPresets reports why the JSON of a file or a variable cannot be parsed, on one line', () => {
  for (const text of ['[{', '[\n{ "name":\n x }]', '']) {
    const [problem = '', ...others] = problemsOf({ PRESETS_FILE: fileOf(text) })
    assert.match(problem, /^PRESETS_FILE is not JSON: .+\.$/)
    assert.equal(others, [])
  }
  assert.match(problemsOf({ PRESETS: '[{' }).join('\n'), /^PRESETS is not JSON: .+\.$/)
})

test('readPresets reports why a file cannot be read', () => {
  const path = join(directory, 'none.json')
  assert.equal(problemsOf({ PRESETS_FILE: path }), [
    `PRESETS_FILE cannot be read: ENOENT: no such file or directory, open '${path}'.`,
  ])
  assert.match(
    problemsOf({ PRESETS_FILE: directory }).join('\n'),
    /^PRESETS_FILE cannot be read: EISDIR: .+\.$/,
  )
})

function variantless(name: string) {
  return { name, variants: [] }
}

test('acceptsType accepts a listed type, a listed kind, or every file without a list', () => {
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

test('acceptsType accepts a type under its other names and as the kind that it is, but not the reverse', () => {
  const accepts = (pattern: string, type: string) =>
    acceptsType({ name: 'a', variants: [], accept: [pattern] }, type)
  assert.is(accepts('image/png', 'image/apng'), true)
  assert.is(accepts('image/apng', 'image/png'), false)
  assert.is(accepts('text/plain', 'text/csv'), true)
  assert.is(accepts('text/csv', 'text/plain'), false)
  assert.is(accepts('text/plain', 'text/html'), false)
  assert.is(accepts('text/*', 'application/json'), true)
  assert.is(accepts('audio/mp4', 'audio/x-m4a'), true)
  assert.is(accepts('video/x-msvideo', 'video/vnd.avi'), true)
})

test('a declared type may be accepted if a file of it may be detected as an accepted one', () => {
  const may = (accept: string[] | undefined, declared: string) =>
    mayAcceptDeclared(accept ? { accept } : {}, declared)
  for (const [accept, declared, isAccepted] of [
    [undefined, 'anything/else', true],
    [['image/png'], 'image/png', true],
    [['image/png'], 'image/jpeg', false],
    [['image/*'], 'IMAGE/PNG', true],
    [['text/plain'], ' text/plain ; charset=utf-8', true],
    [['text/plain'], 'text/html; charset=utf-8', false],
    // It declares nothing; its bytes decide.
    [['image/png'], 'application/octet-stream', true],
    [['image/png'], '', false],
    // Another name, and a kind whose files may be of the other type.
    [['audio/mpeg'], 'audio/mp3', true],
    [['image/apng'], 'image/png', true],
    [['text/csv'], 'text/plain', true],
    [['image/png'], 'image/apng', true],
    [['application/zip'], 'application/x-zip-compressed', true],
    [['application/zip'], 'application/pdf', false],
  ] as const) {
    assert.is(may(accept && [...accept], declared), isAccepted, `${accept} ${declared}`)
  }
})

test.run()
