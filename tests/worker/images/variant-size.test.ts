import { completeRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { EncodedFormat, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { planVariant, type SizedImage } from '@millrace/worker/images/variant-size.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('variant size')

function plan(
  image: SizedImage,
  recipe: Partial<Omit<VariantRecipe, 'format'>> & { format?: EncodedFormat },
) {
  const { drawn, size, scale, isAnimated } = planVariant(
    image,
    completeRecipe({ name: 'a', format: 'webp', ...recipe }),
  )
  return {
    drawn: `${drawn.width}×${drawn.height}`,
    size: `${size.width}×${size.height}`,
    scale: Number(scale.toFixed(3)),
    isAnimated,
  }
}

test('a raster is decoded at most in its own size, and a vector image in that of the variant', () => {
  const image = { width: 30, height: 20 }
  const enlarged = { width: 300, withoutEnlargement: false }
  const still = { isAnimated: false }
  assert.equal(plan(image, { width: 300 }), { drawn: '30×20', size: '30×20', scale: 1, ...still })
  assert.equal(plan(image, enlarged), { drawn: '300×200', size: '300×200', scale: 1, ...still })
  const vector = { ...image, isVector: true }
  assert.equal(plan(vector, { width: 300 }), { drawn: '300×200', size: '300×200', scale: 10, ...still })
  assert.equal(plan(vector, {}), { drawn: '30×20', size: '30×20', scale: 1, ...still })
  const square = { width: 300, height: 300 }
  assert.equal(plan(vector, { ...square, fit: 'cover' }), {
    drawn: '450×300',
    size: '300×300',
    scale: 15,
    ...still,
  })
  assert.equal(plan(vector, { ...square, fit: 'contain' }), {
    drawn: '300×200',
    size: '300×300',
    scale: 10,
    ...still,
  })
})

test('nothing is enlarged to more than 100 megapixels', () => {
  for (const image of [
    { width: 100_000, height: 1, isVector: true },
    { width: 10, height: 10, isVector: true },
    { width: 1, height: 9000 },
  ]) {
    for (const fit of ['inside', 'outside', 'cover', 'contain', 'fill'] as const) {
      const recipe = {
        name: 'a',
        fit,
        width: 10_000,
        height: 10_000,
        format: 'webp',
        withoutEnlargement: false,
      } as const
      const { drawn, size } = planVariant(image, completeRecipe(recipe))
      for (const { width, height } of [drawn, size]) {
        assert.ok(width * height <= 100_020_000 && width > 0 && height > 0, `${fit} ${width} × ${height}`)
      }
      assert.ok(size.width <= 16_383 && size.height <= 16_383)
    }
  }
})

test('a vector image is drawn in at most 25 megapixels, and in at most 16,383 pixels a side', () => {
  const [square, wide, tall] = [
    { width: 10, height: 10, isVector: true },
    { width: 100_000, height: 1, isVector: true },
    { width: 10, height: 1_000, isVector: true },
  ]
  for (const fit of ['inside', 'outside', 'cover', 'contain'] as const) {
    assert.is(plan(square, { width: 10_000, height: 10_000, fit }).drawn, '5000×5000', fit)
    assert.is(plan(square, { width: 5_000, height: 5_000, fit }).drawn, '5000×5000', fit)
  }
  assert.is(plan(wide, { width: 50_000, format: 'png' }).drawn, '16383×1')
  assert.is(plan(tall, { width: 5_000, format: 'png' }).drawn, '164×16383')
})

test('an animation that would be enlarged to more than 100 megapixels in all frames is still', () => {
  const box = { width: 2000, height: 2000, fit: 'contain' } as const
  assert.is(plan({ width: 10, height: 10, frames: 25 }, box).isAnimated, true)
  assert.is(plan({ width: 10, height: 10, frames: 26 }, box).isAnimated, false)
  // Its variant is not larger than itself.
  assert.is(plan({ width: 2000, height: 2000, frames: 40 }, { width: 2000 }).isAnimated, true)
  assert.is(plan({ width: 10, height: 10, frames: 4 }, { ...box, format: 'png' }).isAnimated, false)
})

test('a side is limited by the format', () => {
  assert.is(plan({ width: 20_000, height: 10 }, {}).size, '16383×8')
  assert.is(plan({ width: 20_000, height: 10 }, { format: 'png' }).size, '20000×10')
  assert.is(plan({ width: 20_000, height: 10 }, { fit: 'outside', width: 9, height: 10 }).size, '16383×8')
})

test('a side is limited by each format, at exactly its limit', () => {
  for (const [format, limit] of [
    ['webp', 16_383],
    ['jpeg', 65_500],
    ['avif', 16_384],
  ] as const) {
    assert.is(plan({ width: limit, height: 9 }, { format }).size, `${limit}×9`)
    assert.is(plan({ width: limit + 1, height: 9 }, { format }).size, `${limit}×9`)
    assert.is(plan({ width: 9, height: limit + 1 }, { format }).size, `9×${limit}`)
    assert.is(
      plan({ width: limit + 1, height: 9 }, { format, fit: 'cover', width: limit, height: 9 }).size,
      `${limit}×9`,
    )
  }
})

test('fill stretches each side to the box, and enlarges neither unless it may', () => {
  const box = { width: 50, height: 60, fit: 'fill' } as const
  const image = { width: 100, height: 20 }
  assert.is(plan(image, box).size, '50×20')
  assert.is(plan({ width: 20, height: 100 }, box).size, '20×60')
  assert.is(plan(image, { ...box, withoutEnlargement: false }).size, '50×60')
  assert.is(plan({ ...image, isVector: true }, box).size, '50×60')
})

test('sizes are rounded to the nearest pixel, and have one at least', () => {
  assert.is(plan({ width: 200, height: 133 }, { width: 100 }).size, '100×67')
  assert.is(plan({ width: 133, height: 200 }, { height: 100 }).size, '67×100')
  assert.is(plan({ width: 200, height: 132 }, { width: 50 }).size, '50×33')
  assert.is(plan({ width: 2_000, height: 1 }, { width: 10 }).size, '10×1')
  assert.is(plan({ width: 1, height: 2_000 }, { height: 10 }).size, '1×10')
})

/** Whether two lengths in pixels are the same but for rounding. */
function isAbout(found: number, exact: number): boolean {
  return Math.abs(found - Math.max(1, exact)) <= 0.5001
}

test('every fit has the size that its description says', async () => {
  const side = fc.integer({ min: 1, max: 3_000 })
  const image = fc.record({ width: side, height: side }, { noNullPrototype: true })
  const fits = fc.constantFrom(
    'inside' as const,
    'outside' as const,
    'cover' as const,
    'contain' as const,
    'fill' as const,
  )
  await checkProperty(
    fc.property(image, image, fits, fc.boolean(), (original, box, fit, withoutEnlargement) => {
      const recipe = completeRecipe({ name: 'a', format: 'png', ...box, fit, withoutEnlargement })
      const { drawn, size, scale } = planVariant(original, recipe)
      const byWidth = box.width / original.width
      const byHeight = box.height / original.height
      const isCovering = fit === 'outside' || fit === 'cover'
      const wanted = isCovering ? Math.max(byWidth, byHeight) : Math.min(byWidth, byHeight)
      const mostPixels = Math.sqrt(100_000_000 / (original.width * original.height))
      const exact = Math.min(wanted, withoutEnlargement ? 1 : Math.max(1, mostPixels))
      if (fit === 'fill') {
        const least = (key: 'width' | 'height') =>
          withoutEnlargement ? Math.min(box[key], original[key]) : box[key]
        assert.equal(size, { width: least('width'), height: least('height') })
        assert.equal(drawn, size)
      } else {
        assert.ok(isAbout(drawn.width, original.width * exact), `${drawn.width} wide`)
        assert.ok(isAbout(drawn.height, original.height * exact), `${drawn.height} high`)
      }
      if (fit === 'inside') assert.ok(size.width <= box.width && size.height <= box.height)
      if (fit === 'inside' || fit === 'outside') assert.equal(size, drawn)
      if (fit === 'contain') {
        assert.equal(size, box)
        assert.ok(drawn.width <= box.width && drawn.height <= box.height)
      }
      if (fit === 'cover') {
        const part = (key: 'width' | 'height') => Math.min(box[key], drawn[key])
        assert.equal(size, { width: part('width'), height: part('height') })
      }
      if (withoutEnlargement) assert.ok(drawn.width <= original.width && drawn.height <= original.height)
      assert.is(scale, Math.min(1, Math.max(drawn.width / original.width, drawn.height / original.height)))
    }),
    { runs: 1_000 },
  )
})

test.run()
