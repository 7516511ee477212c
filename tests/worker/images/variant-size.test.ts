import { completeRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { EncodedFormat, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { planVariant, type SizedImage } from '@millrace/worker/images/variant-size.ts'
import * as assert from 'uvu/assert'
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
        assert.ok(width * height <= 102_000_000 && width > 0 && height > 0, `${fit} ${width} × ${height}`)
      }
      assert.ok(size.width <= 16_383 && size.height <= 16_383)
    }
  }
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

test.run()
