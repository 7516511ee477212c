import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { renderPreset } from '../support/render-preset.ts'
import { sampleImage } from '../support/sample-images.ts'

const test = suite('encoder settings')
/** Lossless, so that its pixels are those that the encoders get. */
const png = await sampleImage('image/png', 96, 64)
const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })

/** Encodes the picture's pixels with the options that sharp must get. */
function encode(
  format: 'webp' | 'jpeg' | 'avif' | 'png',
  options: { quality?: number; effort?: number; lossless?: boolean },
): Promise<Buffer> {
  const { width, height, channels } = info
  return sharp(data, { raw: { width, height, channels } }).toFormat(format, options).toBuffer()
}

for (const [recipe, options] of [
  [{ format: 'webp' }, { quality: 80, effort: 4 }],
  [
    { format: 'webp', quality: 31, effort: 0 },
    { quality: 31, effort: 0 },
  ],
  [
    { format: 'webp', quality: 31, effort: 6 },
    { quality: 31, effort: 6 },
  ],
  [
    { format: 'webp', lossless: true, effort: 1 },
    { lossless: true, effort: 1 },
  ],
  [{ format: 'jpeg' }, { quality: 80 }],
  [{ format: 'jpeg', quality: 31 }, { quality: 31 }],
  [{ format: 'avif' }, { quality: 50, effort: 4 }],
  [
    { format: 'avif', quality: 31, effort: 1 },
    { quality: 31, effort: 1 },
  ],
  [
    { format: 'avif', lossless: true, effort: 1 },
    { lossless: true, effort: 1 },
  ],
  [{ format: 'png', quality: 31 }, {}],
] as const) {
  test(`the encoder of ${JSON.stringify(recipe)} gets ${JSON.stringify(options)}`, async () => {
    const { rendered } = await renderPreset(png, [{ name: 'one', ...recipe }])
    const body = rendered.get('one')?.body ?? Buffer.alloc(0)
    assert.ok(body.equals(await encode(recipe.format, options)))
  })
}

test('variants of one size that differ in a setting have bytes of their own', async () => {
  const settings: Omit<VariantRecipe, 'name'>[] = [
    { format: 'webp' },
    { format: 'jpeg' },
    { format: 'png' },
    { format: 'webp', quality: 30 },
    { format: 'webp', effort: 0 },
    { format: 'webp', lossless: true },
    { format: 'jpeg', quality: 30 },
    { format: 'png', blur: 2 },
    { format: 'png', sharpen: 2 },
    { format: 'jpeg', keepMetadata: ['icc'] },
  ]
  const { rendered } = await renderPreset(
    png,
    settings.map((setting, index) => ({ name: `v${index}`, ...setting })),
  )
  const formats = await Promise.all(
    settings.map(async (_, index) => (await sharp(rendered.get(`v${index}`)?.body).metadata()).format),
  )
  assert.equal(
    formats,
    settings.map(({ format }) => format),
  )
  const bodies = [...rendered.values()].map(({ body }) => body.toString('base64'))
  assert.is(new Set(bodies).size, settings.length)
})

test.run()
