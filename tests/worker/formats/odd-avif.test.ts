import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagColours, flagPicture, largestDifference, outcomeOf, renderFile } from '../support/colours.ts'
import { fixtureImage } from '../support/fixture-images.ts'

const test = suite('odd AVIF files')
const kind = 'image/avif'
const [red, green, blue, yellow] = flagColours

/** Expected colours by fixture, how they are made: tests/fixtures/images/README.md. */
const fixtures = {
  'avif-limited-range.avif': [flagColours, '64×48'],
  'avif-premultiplied-alpha.avif': [flagColours.map((colour) => [...colour, 128]), '64×48'],
  // Display P3 (200, 30, 20) is beyond sRGB; computed with the matrices of CSS Color 4.
  'avif-display-p3.avif': [
    [
      [218, 0, 0],
      [0, 182, 30],
      [24, 50, 197],
      [223, 198, 0],
    ],
    '64×48',
  ],
  // The flag was encoded with white at 203 cd/m².
  'avif-pq.avif': [flagColours, '64×48'],
  'avif-hlg-limited-range.avif': [flagColours, '64×48'],
  'avif-turned-by-irot.avif': [[green, yellow, red, blue], '48×64'],
  'avif-mirrored-by-imir.avif': [[green, red, yellow, blue], '64×48'],
  'avif-sequence.avif': [flagColours, '64×48'],
} as const

for (const [name, [colours, size]] of Object.entries(fixtures)) {
  test(`${name} has the right size and colours`, async () => {
    const found = await renderFile(kind, await fixtureImage(name))
    assert.is(`${found.image.width}×${found.image.height}`, size)
    const distance = largestDifference(found.colours, colours)
    assert.ok(distance < 3, `ΔE ${distance}: ${JSON.stringify(found.colours)}`)
  })
}

test('an AVIF sequence says that its first picture is used', async () => {
  const { image } = await renderFile(kind, await fixtureImage('avif-sequence.avif'))
  assert.equal(image.warnings, ['The AVIF is a sequence; its first picture is used.'])
})

test('an AVIF sequence without a still image is not supported, and not damaged', async () => {
  const file = Buffer.from(await fixtureImage('avif-sequence.avif'))
  file.write('free', file.indexOf('meta'), 'latin1')
  assert.is(
    await outcomeOf(kind, file),
    'image_not_supported: The AVIF is a sequence without a still image, which is not supported.',
  )
})

for (const brand of ['mif1', 'miaf', 'MA1B', 'MA1A']) {
  test(`an AVIF of the brand ${brand} is rendered`, async () => {
    const file = await flagPicture().avif({ quality: 90, effort: 0 }).toBuffer()
    file.write(brand, 8, 'latin1')
    const { colours } = await renderFile(kind, file)
    assert.ok(largestDifference(colours, flagColours) < 4, JSON.stringify(colours))
  })
}

test('an AVIF that is cut is incomplete, and one with bytes after its end is rendered', async () => {
  const file = await flagPicture().avif({ effort: 0 }).toBuffer()
  assert.match(await outcomeOf(kind, file.subarray(0, -10)), /^image_corrupt: The AVIF is incomplete/)
  assert.is(await outcomeOf(kind, Buffer.concat([file, Buffer.from('bytes')])), 'ready')
})

test.run()
