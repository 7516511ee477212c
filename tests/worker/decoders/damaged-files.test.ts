import { readdir } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagPicture } from '../support/colours.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { mutate, seededNumbers } from '../support/mutate.ts'
import { animation, sampleImage, sampleKinds } from '../support/sample-images.ts'
import { startTestDecoders } from '../support/start-test-decoders.ts'
import { flagTiff } from '../support/tiff-files.ts'

/** `FUZZ_ROUNDS=20000 FUZZ_SEED=7 npm test -- damaged-files` tries other and more damage. */
const rounds = Number(process.env.FUZZ_ROUNDS ?? 300)
const seed = Number(process.env.FUZZ_SEED ?? 1)
const test = suite('damaged files in decoders', {}, { limitMs: 60_000 + rounds * 100 })
let decoders: ReturnType<typeof startTestDecoders>
test.before(() => {
  // More than one pay off with many rounds only.
  decoders = startTestDecoders({ slots: rounds > 1_000 ? 8 : 1 })
})
test.after(() => decoders.close())

/** The fixtures that are small, and one file of each kind. */
async function smallFiles(): Promise<[name: string, bytes: Buffer][]> {
  const names = await readdir(new URL('../../fixtures/images/', import.meta.url))
  const fixtures = await Promise.all(
    names
      .filter((name) => !name.endsWith('.md'))
      .map(async (name): Promise<[string, Buffer]> => [name, await fixtureImage(name)]),
  )
  const samples = await Promise.all(
    sampleKinds.map(async (kind): Promise<[string, Buffer]> => [kind, await sampleImage(kind, 24, 16)]),
  )
  const floats = flagTiff({
    samples: 3,
    bits: 32,
    tags: { 339: [3, 3, 3] },
    pixel: (colour) =>
      Buffer.concat(colour.map((value) => Buffer.from(new Float32Array([value / 255]).buffer))),
  })
  return [
    ...fixtures.filter(([, { length }]) => length <= 12_000),
    ...samples,
    ['progressive JPEG', await flagPicture().jpeg({ progressive: true }).toBuffer()],
    ['interlaced PNG', await flagPicture().png({ progressive: true }).toBuffer()],
    ['palette PNG', await flagPicture().png({ palette: true }).toBuffer()],
    [
      'tiled TIFF',
      await flagPicture()
        .tiff({ compression: 'deflate', tile: true, tileWidth: 16, tileHeight: 16 })
        .toBuffer(),
    ],
    ['TIFF of fractions', floats],
    ['animated GIF', await animation('image/gif', { width: 12, height: 8, frames: 3 })],
    ['animated WebP', await animation('image/webp', { width: 12, height: 8, frames: 3 })],
  ]
}

test(`${rounds} damaged files end in an outcome with a name, and no decoder dies`, async () => {
  const files = await smallFiles()
  function* damagedFiles() {
    for (let round = 0; round < rounds; round++) {
      const [name, bytes] = files[round % files.length] ?? ['', Buffer.alloc(0)]
      yield {
        name: `seed ${seed}, round ${round}: ${name}`,
        bytes: mutate(bytes, seededNumbers(seed * 1_000_003 + round)),
      }
    }
  }
  const found = await decoders.outcomes(damagedFiles())
  const wrong = Object.entries(found).filter(
    ([, outcomes]) =>
      !Object.keys(outcomes).every((outcome) => /^(ready|not an image|image_\w+)$/.test(outcome)),
  )
  assert.equal(wrong, [])
  assert.is(Object.keys(found).length, rounds)
})

test.run()
