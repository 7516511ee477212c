import { isDeepStrictEqual } from 'node:util'
import { completeRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import { readFocus } from '@millrace/shared/presets/focus.ts'
import { defaultPreset, type Preset, type VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('recipe version')
const plain: VariantRecipe = { name: 'a', width: 100, format: 'webp' }

function versionOf(variant: Partial<VariantRecipe>, metadata?: Record<string, string>): string {
  return recipeVersion({ name: 'p', variants: [{ ...plain, ...variant }] }, metadata)
}

test('writing out defaults does not change the version', () => {
  for (const [one, other] of [
    [{}, { fit: 'inside', quality: 80, effort: 4, lossless: false, animated: true }],
    [
      {},
      {
        withoutEnlargement: true,
        keepMetadata: false,
        gamut: 'srgb',
        page: 1,
        frame: undefined,
        sharpen: false,
      },
    ],
    [{ format: 'png' }, { format: 'png', quality: 80 }],
    [{ format: 'avif' }, { format: 'avif', quality: 50, effort: 4, animated: false }],
    [{ background: '#FFF' }, { background: '#ffffffff' }],
    [{ background: '#00000000' }, { background: 'transparent' }],
    [{ keepMetadata: true }, { keepMetadata: ['icc', 'copyright'] }],
    [{ gamut: 'p3' }, { gamut: 'p3', keepMetadata: ['icc'] }],
    [{ watermark: { image: 'AA' } }, { watermark: { opacity: 1, scale: 0.25, image: 'AA' } }],
    [
      { fit: 'cover', height: 9 },
      { position: 'center', height: 9, fit: 'cover', animated: false },
    ],
  ] as [Partial<VariantRecipe>, Partial<VariantRecipe>][]) {
    assert.is(versionOf(one), versionOf(other), JSON.stringify(other))
  }
  const types: Preset = { name: 'p', accept: ['image/png', 'image/jpeg'], variants: [] }
  assert.is(recipeVersion(types), recipeVersion({ ...types, accept: ['image/jpeg', 'image/png'] }))
})

test('every setting that changes a variant changes the version', () => {
  const changes: Partial<VariantRecipe>[] = [
    {},
    { name: 'b' },
    { width: 101 },
    { height: 100 },
    { fit: 'outside' },
    { height: 100, fit: 'cover' },
    { height: 100, fit: 'cover', position: 'top' },
    { format: 'original' },
    { quality: 81 },
    { effort: 5 },
    { lossless: true },
    { animated: false },
    { background: '#ffffff' },
    { sharpen: true, animated: false },
    { sharpen: 1, animated: false },
    { blur: 1 },
    { withoutEnlargement: false },
    { keepMetadata: ['icc'] },
    { keepMetadata: ['copyright'] },
    { gamut: 'p3' },
    { watermark: { image: 'AA' } },
    { watermark: { image: 'AA', opacity: 0.5 } },
    { page: 2 },
    { frame: 2 },
  ]
  assert.is(new Set(changes.map((change) => versionOf(change))).size, changes.length)
  assert.match(recipeVersion(defaultPreset), /^2-[0-9a-f]{12}$/)
})

test('the name of a preset, what it accepts and the order of its variants are parts of the version', () => {
  const variants = [plain, { ...plain, name: 'b' }]
  const presets: Preset[] = [
    { name: 'p', variants },
    { name: 'q', variants },
    { name: 'p', variants: variants.toReversed() },
    { name: 'p', variants: [plain] },
    { name: 'p', variants, accept: ['image/png'] },
    { name: 'p', variants, accept: ['image/jpeg'] },
    { name: 'p', variants, accept: ['image/jpeg', 'image/png'] },
  ]
  assert.is(new Set(presets.map((preset) => recipeVersion(preset))).size, presets.length)
})

// Another version renders all uploads of all services again. So a change of it is deliberate, with `rendererVersion`.
test('the version of the built-in preset is that of released services', () => {
  assert.is(recipeVersion(defaultPreset), '2-8b6d27a0ff0b')
})

// Before, animations kept the thumbnail of their original, which shows what was cut away.
test('presets that keep the copyright have another version than those that wrote thumbnails', () => {
  assert.is.not(versionOf({ keepMetadata: ['copyright'] }), '2-a6bd28cabe91')
  assert.is(versionOf({ keepMetadata: ['copyright'] }), '2-43a9480b42d2')
  assert.is(versionOf({ keepMetadata: ['icc'] }), '2-64375bd0129c')
})

test('presets have the same version exactly if all their complete settings are the same', async () => {
  const recipe: fc.Arbitrary<VariantRecipe> = fc.record(
    {
      name: fc.constant('a'),
      format: fc.constantFrom(
        'webp' as const,
        'jpeg' as const,
        'png' as const,
        'avif' as const,
        'original' as const,
      ),
      fit: fc.constantFrom('inside' as const, 'outside' as const, 'cover' as const),
      width: fc.constantFrom(10, 20),
      height: fc.constantFrom(10, 20),
      quality: fc.constantFrom(80, 50, 30),
      effort: fc.constantFrom(4, 2),
      lossless: fc.boolean(),
      animated: fc.boolean(),
      background: fc.constantFrom('#fff', '#FFFFFF', '#000'),
      keepMetadata: fc.constantFrom(true, false, ['icc' as const]),
      withoutEnlargement: fc.boolean(),
      gamut: fc.constantFrom('srgb' as const, 'p3' as const),
      page: fc.constantFrom(1, 2),
    },
    { requiredKeys: ['name', 'format'] },
  )
  await checkProperty(
    fc.property(recipe, recipe, (one, other) => {
      const isSame = isDeepStrictEqual(completeRecipe(one), completeRecipe(other))
      assert.is(versionOf(one) === versionOf(other), isSame)
      const { name, format, ...rest } = one
      const reordered = { format, ...Object.fromEntries(Object.entries(rest).toReversed()), name }
      assert.is(versionOf(reordered), versionOf(one))
    }),
    { runs: 300 },
  )
})

test('the focal point changes the version only if a variant uses it', () => {
  const focused: Partial<VariantRecipe> = { fit: 'cover', height: 9, position: 'focus' }
  assert.is(versionOf({}, { focus: '0.1,0.1' }), versionOf({}))
  assert.is.not(versionOf(focused, { focus: '0.1,0.1' }), versionOf(focused, { focus: '0.1,0.2' }))
  assert.is(versionOf(focused, { focus: '0.10, 0.1', other: 'x' }), versionOf(focused, { focus: '.1,0.1' }))
  assert.is(versionOf(focused, { focus: 'left' }), versionOf(focused))
})

test('readFocus reads two fractions, and nothing else', () => {
  for (const [text, x, y] of [
    ['0.5,0.25', 0.5, 0.25],
    [' 1 , 0 ', 1, 0],
    ['.125,1.0', 0.125, 1],
  ] as const)
    assert.equal(readFocus({ focus: text }), { x, y })
  for (const text of ['', '0.5', '0.5,', '1.2,0', '-0.1,0', '0.5;0.5', 'NaN,0', '0.5,0.5,0.5', '1e-1,0']) {
    assert.is(readFocus({ focus: text }), undefined, text)
  }
  assert.is(readFocus({ other: '0.5,0.5' }), undefined)
  assert.is(readFocus(undefined), undefined)
})

test.run()
