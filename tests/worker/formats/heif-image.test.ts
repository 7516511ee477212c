import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  buildHeif,
  codedItem,
  coloursProperty,
  gridItem,
  mirroring,
  profileProperty,
  readCodedPictures,
  rotation,
  sizeProperty,
  toSequence,
} from '../support/build-heif.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { largestDifference, openPicture, quarterColours, rejectionOf } from '../support/open-picture.ts'

const test = suite('HEIF images')
const tiles = readCodedPictures(await fixtureImage('heic-tiles.heic'))
const tileSize = sizeProperty(64, 64)

/** A picture like a phone's: 120 × 100 of four tiles of 64 × 64, with properties of the whole. */
function photo(...properties: Buffer[]): Buffer {
  const grid = gridItem({ rows: 2, columns: 2, width: 120, height: 100 }, [1, 2, 3, 4], ...properties)
  return buildHeif({ items: [...tiles.map((tile) => codedItem(tile, tileSize)), grid], primary: 5 })
}

/** As heif-convert 1.15.1 decodes the grid. */
const [red, green, blue, yellow] = [
  [212, 26, 27],
  [27, 192, 36],
  [25, 36, 203],
  [204, 193, 26],
]
const photoColours = [red, green, blue, yellow].map((colour) => colour ?? [])

async function expectColours(file: Buffer, expected: readonly (readonly number[])[], limit = 2.5) {
  const actual = quarterColours(await openPicture('image/heic', file))
  assert.ok(largestDifference(actual, [...expected]) < limit, JSON.stringify(actual))
}

test('a picture in one piece has its size and colours', async () => {
  const picture = await openPicture('image/heic', await fixtureImage('heic-photo.heic'))
  assert.equal([picture.width, picture.height, picture.channels], [160, 120, 3])
  // heif-convert 1.15.1.
  const expected = [
    [65, 151, 76],
    [128, 100, 89],
    [1, 1, 11],
    [93, 98, 68],
  ]
  const difference = largestDifference(quarterColours(picture), expected)
  assert.ok(difference < 2.5, `${difference}`)
})

test('a grid of tiles has its size and colours', async () => {
  const picture = await openPicture('image/heic', photo())
  assert.equal([picture.width, picture.height], [120, 100])
  await expectColours(photo(), photoColours, 3)
})

test('a picture is turned and mirrored once', async () => {
  const turned = await openPicture('image/heic', photo(rotation(1)))
  assert.equal([turned.width, turned.height], [100, 120])
  await expectColours(
    photo(rotation(1)),
    [green, yellow, red, blue].map((colour) => colour ?? []),
    6,
  )
  await expectColours(
    photo(mirroring(1)),
    [green, red, yellow, blue].map((colour) => colour ?? []),
    3,
  )
})

test('alpha is kept', async () => {
  // heif-convert 1.15.1.
  await expectColours(await fixtureImage('heic-alpha.heic'), [
    [220, 30, 30, 255],
    [30, 200, 41, 255],
    [29, 40, 210, 128],
    [211, 200, 30, 128],
  ])
})

test('10 bits per channel are decoded', async () => {
  await expectColours(await fixtureImage('heic-10-bit.heic'), [
    [148, 148, 148],
    [191, 191, 191],
    [150, 120, 110],
    [60, 70, 90],
  ])
})

test('Display P3 becomes sRGB, named by number or by a profile', async () => {
  // Computed from photoColours with the matrix of CSS Color 4, 10.5 (P3 to sRGB), and clipped.
  const expected = [
    [232, 0, 0],
    [0, 196, 0],
    [22, 36, 212],
    [206, 193, 0],
  ]
  const { icc } = await sharp(
    await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
      .withIccProfile('p3')
      .png()
      .toBuffer(),
  ).metadata()
  await expectColours(photo(coloursProperty(12, 13)), expected, 4)
  await expectColours(photo(profileProperty(icc ?? Buffer.alloc(0))), expected, 4)
})

test('a picture of high dynamic range is tone-mapped', async () => {
  const [coded] = readCodedPictures(await fixtureImage('heic-10-bit.heic'))
  if (!coded) throw new Error('The fixture has no picture.')
  const file = buildHeif({ items: [codedItem(coded, tileSize, coloursProperty(9, 16))] })
  const [paper, highlight] = quarterColours(await openPicture('image/heic', file))
  // PQ codes 58 % (203 cd/m², white paper) and 75 % (983 cd/m²).
  assert.ok(largestDifference([paper ?? []], [[243, 243, 243]]) < 1.5, `${paper}`)
  assert.ok(largestDifference([highlight ?? []], [[254, 254, 254]]) < 1.5, `${highlight}`)
})

test('the primary image is shown, of files with general brands too', async () => {
  const items = tiles.map((tile) => codedItem(tile, tileSize))
  const file = buildHeif({ items, primary: 3, brands: ['mif1', 'mif1', 'heic'] })
  const picture = await openPicture('image/heif', file)
  assert.equal([picture.width, picture.height], [64, 64])
  assert.ok(largestDifference([picture.at(0.5, 0.5)], [[25, 35, 200]]) < 4, `${picture.at(0.5, 0.5)}`)
})

test('the first picture of a sequence is shown', async () => {
  // ffmpeg 5.1.
  await expectColours(
    toSequence(await fixtureImage('heic-sequence.mp4')),
    [
      [235, 47, 27],
      [17, 172, 34],
      [26, 46, 215],
      [211, 190, 22],
    ],
    4,
  )
})

test('a cut file is said to be incomplete', async () => {
  const whole = photo()
  for (const length of [whole.length - 1, whole.length - 300, 900, 300, 40]) {
    const { code, message } = await rejectionOf('image/heic', whole.subarray(0, length))
    assert.is(code, 'image_corrupt', `${length} bytes`)
    assert.is(
      message,
      'The HEIC is incomplete: the file ends before the end of the image.',
      `${length} bytes`,
    )
  }
})

test('a file with a tile that cannot be decoded is damaged', async () => {
  const file = photo()
  file.fill(0x55, file.length - 300, file.length - 200)
  const { code, message } = await rejectionOf('image/heic', file)
  assert.equal([code, message], ['image_corrupt', 'The HEIC is damaged: its image data cannot be decoded.'])
})

test('a codec that is not decoded is named as not supported', async () => {
  const file = buildHeif({ items: [{ type: 'jpeg', data: Buffer.alloc(100), properties: [tileSize] }] })
  const { code, message } = await rejectionOf('image/heif', file)
  assert.is(code, 'image_not_supported')
  assert.match(message, 'not supported')
})

test('a claimed size over the limit is rejected by the header', async () => {
  const grid = gridItem({ rows: 2, columns: 2, width: 60_000, height: 60_000 }, [1, 2, 3, 4])
  const file = buildHeif({ items: [...tiles.map((tile) => codedItem(tile, tileSize)), grid], primary: 5 })
  assert.is((await rejectionOf('image/heic', file)).code, 'image_too_many_pixels')
})

test('a size of 0 is damage', async () => {
  const [tile] = tiles
  if (!tile) throw new Error('The fixture has no picture.')
  const file = buildHeif({ items: [codedItem(tile, sizeProperty(0, 0))] })
  assert.is((await rejectionOf('image/heic', file)).code, 'image_corrupt')
})

test('video data larger than the file says is not decoded', async () => {
  const [tile] = tiles
  if (!tile) throw new Error('The fixture has no picture.')
  const file = buildHeif({ items: [codedItem(tile, sizeProperty(8, 8))] })
  assert.is((await rejectionOf('image/heic', file)).code, 'image_corrupt')
})

test('the header gives the size of the primary item, its depth and alpha', async () => {
  assert.equal(readImageHeader('image/heic', photo()), {
    width: 120,
    height: 100,
    frames: 1,
    pixelBytes: 3,
    isInterlaced: false,
  })
  assert.is(readImageHeader('image/heic', await fixtureImage('heic-alpha.heic'))?.pixelBytes, 4)
  assert.is(readImageHeader('image/heic', await fixtureImage('heic-10-bit.heic'))?.pixelBytes, 6)
  const sequence = readImageHeader('image/heic', toSequence(await fixtureImage('heic-sequence.mp4')))
  assert.equal([sequence?.width, sequence?.height], [64, 64])
})

test.run()
