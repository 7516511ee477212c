import { describePicture } from '@millrace/worker/images/picture-description.ts'
import sharp from 'sharp'
import { thumbHashToApproximateAspectRatio, thumbHashToAverageRGBA } from 'thumbhash'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { renderPreset } from '../support/render-preset.ts'
import { samplePicture } from '../support/sample-images.ts'

const test = suite('picture description')

/** Describes a picture from a raster of at most 320 pixels, as the default preset does. */
async function describe(bytes: Buffer, side = 320) {
  const { data, info } = await sharp(bytes, { failOn: 'none' })
    .resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  return describePicture({ data, width: info.width, height: info.height, channels: info.channels })
}

async function hashOf(bytes: Buffer): Promise<bigint> {
  const { perceptualHash = '' } = await describe(bytes)
  assert.match(perceptualHash, /^[0-9a-f]{16}$/)
  return BigInt(`0x${perceptualHash}`)
}

/** The number of different bits. */
function distance(one: bigint, other: bigint): number {
  return [...(one ^ other).toString(2)].filter((bit) => bit === '1').length
}

/** Makes a picture of soft shapes, which differ with each seed. */
async function shapes(seed: number): Promise<Buffer> {
  let state = seed
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
  const overlays = Array.from({ length: 12 }, () => {
    const [width, height] = [60 + next(240), 60 + next(240)]
    const color = { r: next(256), g: next(256), b: next(256) }
    return {
      input: { create: { width, height, channels: 3 as const, background: color } },
      left: next(640 - width),
      top: next(480 - height),
    }
  })
  const flat = sharp({ create: { width: 640, height: 480, channels: 3, background: '#808080' } })
  return sharp(await flat.composite(overlays).png().toBuffer())
    .blur(8)
    .jpeg({ quality: 92 })
    .toBuffer()
}

/** Copies of a picture as they are made on its way through the internet. */
async function copiesOf(bytes: Buffer): Promise<Buffer[]> {
  const picture = () => sharp(bytes, { failOn: 'none' })
  const { width } = await picture().metadata()
  return Promise.all([
    picture().jpeg({ quality: 30 }).toBuffer(),
    picture()
      .resize(Math.round(width * 0.4))
      .jpeg({ quality: 75 })
      .toBuffer(),
    picture()
      .resize(Math.round(width * 1.5))
      .png()
      .toBuffer(),
    picture().resize(120).webp({ quality: 60 }).toBuffer(),
    picture().linear(1.1, 6).jpeg().toBuffer(),
  ])
}

test('the perceptual hash of copies differs in at most 6 bits, and that of other pictures in more than 16', async () => {
  const photos = ['stray-bytes-good.jpg', 'tiff-good.tif', 'gif-12-frames-good.gif'].map(fixtureImage)
  const pictures = await Promise.all([...photos, ...[11, 12, 13, 14].map(shapes)])
  const hashes = await Promise.all(pictures.map(hashOf))
  for (const [index, picture] of pictures.entries()) {
    const hash = hashes[index] ?? 0n
    for (const [copy, bytes] of (await copiesOf(picture)).entries()) {
      const different = distance(hash, await hashOf(bytes))
      assert.ok(different <= 6, `picture ${index}, copy ${copy}: ${different}`)
    }
    for (const [other, otherHash] of hashes.entries()) {
      if (other === index) continue
      const different = distance(hash, otherHash)
      assert.ok(different > 16, `pictures ${index} and ${other}: ${different}`)
    }
  }
})

test('the perceptual hash does not depend on the size of the raster', async () => {
  const picture = await shapes(5)
  const hashes = await Promise.all(
    [640, 320, 100, 48, 32].map(async (side) =>
      BigInt(`0x${(await describe(picture, side)).perceptualHash}`),
    ),
  )
  for (const hash of hashes) assert.ok(distance(hash, hashes[0] ?? 0n) <= 4)
})

test('a picture of one colour has the perceptual hash 0, and transparency counts as white', async () => {
  for (const background of ['#336699', '#ffffff00']) {
    const flat = sharp({ create: { width: 90, height: 60, channels: 4, background } })
    assert.is(await hashOf(await flat.png().toBuffer()), 0n)
  }
})

test('the dominant colour is the one with most area, and transparent pixels have none', async () => {
  const blue = sharp({ create: { width: 200, height: 100, channels: 4, background: '#2244cc' } })
  const red = { create: { width: 80, height: 100, channels: 4 as const, background: '#dd1111' } }
  const picture = blue.composite([{ input: red, left: 0, top: 0 }])
  assert.is((await describe(await picture.png().toBuffer())).dominantColor, '#2244cc')
  const clear = sharp({ create: { width: 200, height: 100, channels: 4, background: '#2244cc00' } })
  const mark = { create: { width: 40, height: 40, channels: 4 as const, background: '#11aa33' } }
  const marked = clear.composite([{ input: mark, left: 20, top: 20 }])
  assert.is((await describe(await marked.png().toBuffer())).dominantColor, '#11aa33')
  const nothing = sharp({ create: { width: 20, height: 10, channels: 4, background: '#2244cc00' } })
  assert.is((await describe(await nothing.png().toBuffer())).dominantColor, undefined)
})

test('the placeholder has proportions and average colour of the picture', async () => {
  const picture = await samplePicture(600, 300).png().toBuffer()
  const hash = Buffer.from((await describe(picture)).placeholder ?? '', 'base64')
  assert.ok(Math.abs(thumbHashToApproximateAspectRatio(hash) - 2) < 0.4)
  const { r, g, b, a } = thumbHashToAverageRGBA(hash)
  for (const [value, expected] of [
    [r, 121 / 255],
    [g, 121 / 255],
    [b, 76 / 255],
    [a, 1],
  ] as const)
    assert.ok(Math.abs(value - expected) < 0.06, `${r} ${g} ${b} ${a}`)
})

test('rasters of one pixel, of one row and of grey are described', async () => {
  for (const [width, height, channels] of [
    [1, 1, 1],
    [500, 1, 2],
    [1, 500, 3],
    [49, 47, 4],
  ] as const) {
    const data = Buffer.alloc(width * height * channels, 200)
    const { placeholder = '', dominantColor } = describePicture({ data, width, height, channels })
    assert.ok(placeholder.length > 0)
    assert.is(dominantColor, '#c8c8c8')
  }
})

test('rendering returns placeholder, dominant colour and perceptual hash, with or without variants', async () => {
  const picture = await samplePicture(400, 300).jpeg().toBuffer()
  const none = await renderPreset(picture, [])
  const one = await renderPreset(picture, [{ name: 'a', width: 300, format: 'webp', effort: 0 }])
  for (const { findings } of [none, one]) {
    assert.equal(Object.keys(findings).sort(), ['dominantColor', 'perceptualHash', 'placeholder'])
  }
  const [a, b] = [none, one].map(({ findings }) => BigInt(`0x${findings.perceptualHash}`))
  assert.ok(distance(a ?? 0n, b ?? 0n) <= 4)
})

/** A picture of 32 × 24 pixels that is computed, so no decoder or scaling has a part in it. */
function computedRaster(alphaOf: (x: number, y: number) => number) {
  const [width, height, channels] = [32, 24, 4] as const
  const data = Buffer.alloc(width * height * channels)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      // Blocks of 4 × 4 pixels, of which every third has about the same red.
      const block = Math.floor(x / 4) + 8 * Math.floor(y / 4)
      const others = [(block * 83) % 256, (block * 157) % 256, (block * 211) % 256]
      const colour = block % 3 === 0 ? [200 + (block % 7), 30, 20] : others
      data.set([...colour, alphaOf(x, y)], (y * width + x) * channels)
    }
  }
  return { data, width, height, channels }
}

// Stored hashes are compared with new ones. Other values need a new `rendererVersion`, and a line in the changelog.
test('placeholder, dominant colour and perceptual hash of given pixels are those of released services', () => {
  assert.equal(describePicture(computedRaster(() => 255)), {
    placeholder: 'm1gGHYapjb2SWEWPfCtJlg2ZRon3',
    dominantColor: '#cb1e14',
    perceptualHash: '9e5a2a40a11b4504',
  })
  assert.equal(describePicture(computedRaster((x) => (x < 16 ? 255 : 0))), {
    placeholder: 'G0mCFIZYqP5kaN5bdcYLd3f/WIeId4eIBw==',
    dominantColor: '#cb1e14',
    perceptualHash: '27708a1000110d43',
  })
  assert.equal(describePicture(computedRaster((x, y) => (x + y) * 4)), {
    placeholder: 'm1iCFIImiHySZ18ruoCIs2gPdyeHd4iHBw==',
    dominantColor: '#cb1e14',
    perceptualHash: 'dc1a2ac0a11b4504',
  })
})

test('colours of transparent pixels change nothing', () => {
  const raster = computedRaster((x) => (x < 16 ? 255 : 0))
  const other = Buffer.from(raster.data)
  for (let at = 0; at < other.length; at += 4) if (other[at + 3] === 0) other.set([255, 0, 255], at)
  assert.equal(describePicture({ ...raster, data: other }), describePicture(raster))
})

test.run()
