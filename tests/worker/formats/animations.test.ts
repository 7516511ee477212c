import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  animated,
  type Colour,
  flagColours,
  flagPicture,
  largestDifference,
  outcomeOf,
  quarterColours,
  renderFile,
} from '../support/colours.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { type ApngFrameFile, apngFile } from '../support/odd-images.ts'

const test = suite('animations')
const [red, green, blue, yellow] = flagColours
const clear = [0, 0, 0, 0]

/** A single colour in a size. */
async function plain(colour: Colour, width: number, height: number): Promise<Buffer> {
  return Buffer.from(
    Array.from({ length: width * height }, () => [...colour, ...(colour.length < 4 ? [255] : [])]).flat(),
  )
}

async function movingColours(moving: Buffer): Promise<Colour[][]> {
  const { pages = 1 } = await sharp(moving).metadata()
  return Promise.all(Array.from({ length: pages }, (_, page) => quarterColours(moving, page)))
}

function assertColours(found: Colour[][], expected: readonly (readonly Colour[])[]): void {
  assert.is(found.length, expected.length)
  for (const [frame, colours] of expected.entries()) {
    // What is fully transparent has no colour.
    const shown = (found[frame] ?? []).map((colour) => (colour[3] === 0 ? clear : colour))
    assert.ok(largestDifference(shown, colours) < 4, `frame ${frame}: ${JSON.stringify(shown)}`)
  }
}

/** EXIF 2.32, tag 274: which stored quarter is displayed at each place. */
const displayed = [
  [0, 1, 2, 3],
  [1, 0, 3, 2],
  [3, 2, 1, 0],
  [2, 3, 0, 1],
  [0, 2, 1, 3],
  [2, 0, 3, 1],
  [3, 1, 2, 0],
  [1, 3, 0, 2],
] as const

for (const [index, places] of displayed.entries()) {
  test(`an animated WebP with EXIF orientation ${index + 1} is upright, and not squeezed`, async () => {
    const column = Buffer.concat([
      await flagPicture(0).raw().toBuffer(),
      await flagPicture(1).raw().toBuffer(),
    ])
    const webp = await sharp(column, { raw: { width: 64, height: 96, channels: 3, pageHeight: 48 } })
      .withMetadata({ orientation: index + 1 })
      .webp({ lossless: true, effort: 0, delay: [100, 250], loop: 3 })
      .toBuffer()
    const { image, moving, colours } = await renderFile('image/webp', webp, animated)
    const size = index < 4 ? '64×48' : '48×64'
    assert.is(`${image.width}×${image.height}`, size)
    const header = await sharp(moving, { pages: -1 }).metadata()
    assert.is(`${header.width}×${header.pageHeight}`, size)
    assert.equal([header.pages, header.delay, header.loop], [2, [100, 250], 3])
    const expected = [0, 1].map((steps) => places.map((place) => flagColours[(place + steps) % 4] ?? red))
    assertColours(await movingColours(moving), expected)
    assertColours([colours], expected.slice(0, 1))
  })
}

/** A frame of one quarter or of the whole canvas. */
async function frame(colour: Colour, options: Partial<ApngFrameFile> = {}): Promise<ApngFrameFile> {
  const { width = 4, height = 4, ...rest } = options
  return {
    width,
    height,
    x: 0,
    y: 0,
    dispose: 0,
    blend: 0,
    delay: [1, 10],
    pixels: await plain(colour, width, height),
    ...rest,
  }
}

test('frames of an animated PNG are drawn as their operations say', async () => {
  const quarter = { width: 16, height: 16 }
  const file = apngFile(32, 32, [
    await frame(red, { width: 32, height: 32 }),
    await frame(green, { ...quarter, x: 16, dispose: 1 }),
    await frame(blue, { ...quarter, y: 16, dispose: 2 }),
    await frame([...yellow, 0], { ...quarter, x: 16, y: 16, blend: 1 }),
    await frame([...yellow, 0], { ...quarter, x: 16, y: 16, blend: 0 }),
    await frame([220, 200, 40, 128], { ...quarter, blend: 1, delay: [5, 0] }),
  ])
  const { image, moving, colours } = await renderFile('image/apng', file, animated)
  assert.is(image.frames, 6)
  assert.equal(image.warnings, [])
  assertColours(await movingColours(moving), [
    [red, red, red, red],
    [red, green, red, red],
    [red, clear, blue, red],
    [red, clear, red, red],
    [red, clear, red, clear],
    [[210, 115, 30], clear, red, clear],
  ])
  assertColours([colours], [[red, red, red, red]])
  const header = await sharp(moving, { pages: -1 }).metadata()
  assert.equal([header.delay, header.loop], [[100, 100, 100, 100, 100, 50], 2])
})

test('an animated PNG of another encoder is animated, in smaller sizes too', async () => {
  const preset = {
    name: 'small',
    variants: [{ name: 'moving', fit: 'inside', width: 40, format: 'webp', quality: 90, effort: 0 } as const],
  }
  const { image, moving } = await renderFile('image/apng', await fixtureImage('apng-3-frames.png'), {
    ...animated,
    variants: [...animated.variants.slice(0, 1), ...preset.variants],
  })
  const header = await sharp(moving, { pages: -1 }).metadata()
  assert.equal(
    [image.frames, header.pages, header.width, header.pageHeight, header.delay],
    [3, 3, 40, 30, [100, 100, 100]],
  )
})

test('a still image that is no frame is shown where nothing moves', async () => {
  const file = apngFile(4, 4, [await frame(green), await frame(blue)], { still: await plain(red, 4, 4) })
  const { image, moving, colours } = await renderFile('image/apng', file, animated)
  assert.is(image.frames, 2)
  assertColours([colours], [[red, red, red, red]])
  assertColours(await movingColours(moving), [Array(4).fill(green), Array(4).fill(blue)])
})

test('an animated PNG whose frame leaves the canvas is shown by its still image, which is said', async () => {
  const file = apngFile(4, 4, [await frame(red), await frame(blue, { x: 1 })])
  const { image, colours } = await renderFile('image/apng', file, animated)
  assert.is(image.frames, 1)
  assertColours([colours], [[red, red, red, red]])
  assert.equal(image.warnings, ['The animation of the PNG is damaged; its still image is used.'])
})

test('an animated PNG with fewer frames than declared is shown with a warning, and one cut in a frame is rejected', async () => {
  const frames = [await frame(red), await frame(green), await frame(blue)]
  const fewer = apngFile(4, 4, frames, { declared: 5 })
  assert.equal((await renderFile('image/apng', fewer, animated)).image.warnings, [
    'The file has 3 of the 5 frames of the PNG.',
  ])
  const cut = apngFile(4, 4, frames).subarray(0, -20)
  assert.match(await outcomeOf('image/apng', cut), /^image_corrupt: The PNG is incomplete/)
})

test('the pixel limit counts the frames of an animated PNG before they are decoded', async () => {
  const frames = await Promise.all(Array.from({ length: 120 }, () => frame(red, { width: 1, height: 1 })))
  assert.match(
    await outcomeOf('image/apng', apngFile(1_000, 1_000, frames)),
    /^image_too_many_pixels.*in 120 frames/,
  )
})

test('a GIF without an end mark is rendered with a warning, and one that ends in a frame is rejected', async () => {
  const good = await fixtureImage('gif-12-frames-good.gif')
  assert.equal((await renderFile('image/gif', good)).image.warnings, [])
  const { image } = await renderFile('image/gif', good.subarray(0, -1))
  assert.is(image.frames, 12)
  assert.equal(image.warnings, ['The GIF has no end mark. It may have had more than its 12 frames.'])
  assert.match(
    await outcomeOf('image/gif', await fixtureImage('gif-12-frames-cut-in-half.gif')),
    /incomplete/,
  )
})

test.run()
