import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type BmpForm, bmpColours, bmpSize, buildBmp } from '../support/build-bmp.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { largestDifference, openPicture, quarterColours, rejectionOf } from '../support/open-picture.ts'

const test = suite('BMP and ICO images')
const [red, green, blue, yellow] = bmpColours

/** The colours that ImageMagick 6.9 shows. Of 16 bits, 5 for each colour remain, and 1 bit has two colours. */
const forms: [BmpForm, (readonly number[])[], limit: number][] = [
  ['core', [...bmpColours], 0.1],
  ['bits1', [red, green, red, green], 0.1],
  ['bits4', [...bmpColours], 0.1],
  ['bits8', [...bmpColours], 0.1],
  ['bits16', [...bmpColours], 4],
  ['masks565', [...bmpColours], 4],
  ['bits24', [...bmpColours], 0.1],
  ['bits32', [...bmpColours], 0.1],
  ['alphaMask', [red, green, [...blue, 128], [...yellow, 128]], 0.1],
  ['rle4', [...bmpColours], 0.1],
  ['rle8', [...bmpColours], 0.1],
]
for (const [form, expected, limit] of forms) {
  test(`a BMP of the form ${form} has its size and colours`, async () => {
    const picture = await openPicture('image/bmp', buildBmp(form))
    assert.equal([picture.width, picture.height], [bmpSize.width, bmpSize.height])
    const difference = largestDifference(quarterColours(picture), expected)
    assert.ok(difference < limit, `${difference} ${JSON.stringify(quarterColours(picture))}`)
    assert.is(picture.channels, form === 'alphaMask' ? 4 : 3)
  })
}

test('a BMP whose first row is the top one is not upside down', async () => {
  const picture = await openPicture('image/bmp', buildBmp('bits24', { isTopDown: true }))
  assert.is(largestDifference(quarterColours(picture), [...bmpColours]), 0)
})

for (const [name, alpha] of [
  ['bmp-rle8.bmp', 255],
  ['bmp-os2.bmp', 255],
  ['bmp-v5-alpha.bmp', 128],
] as const) {
  test(`${name} of ImageMagick has its colours`, async () => {
    const picture = await openPicture('image/bmp', await fixtureImage(name))
    const expected = bmpColours.map((colour) => [...colour, alpha])
    assert.is(largestDifference(quarterColours(picture), expected), 0)
  })
}

test('an alpha of 0 everywhere is no alpha', async () => {
  const file = buildBmp('alphaMask')
  for (let at = 14 + 108 + 3; at < file.length; at += 4) file[at] = 0
  const picture = await openPicture('image/bmp', file)
  assert.is(picture.at(0.25, 0.25)[3], 255)
})

test('an embedded colour profile is used, and one that is none is ignored', async () => {
  const pixel = { create: { width: 1, height: 1, channels: 3 as const, background: 'red' } }
  const { icc } = await sharp(await sharp(pixel).withIccProfile('p3').png().toBuffer()).metadata()
  const picture = await openPicture('image/bmp', buildBmp('bits24', { profile: icc ?? Buffer.alloc(0) }))
  // Computed with the matrix of CSS Color 4, 10.5 (P3 to sRGB), and clipped.
  const expected = [
    [241, 0, 0],
    [0, 204, 0],
    [26, 40, 219],
    [212, 200, 0],
  ]
  const difference = largestDifference(quarterColours(picture), expected)
  assert.ok(difference < 4, `${difference} ${JSON.stringify(quarterColours(picture))}`)
  const junk = await openPicture('image/bmp', buildBmp('bits24', { profile: Buffer.alloc(400, 7) }))
  assert.is(largestDifference(quarterColours(junk), [...bmpColours]), 0)
})

test('a cut BMP is said to be incomplete, unless only padding is missing', async () => {
  const message = 'The BMP is incomplete: the file ends before the end of the image.'
  for (const form of ['bits1', 'bits24', 'alphaMask', 'rle4', 'rle8'] as const) {
    const whole = buildBmp(form)
    for (const length of [whole.length - 20, 100, 40, 20].filter((bytes) => bytes < whole.length)) {
      const rejection = await rejectionOf('image/bmp', whole.subarray(0, length))
      assert.equal(rejection, { code: 'image_corrupt', message }, `${form}, ${length} bytes`)
    }
  }
  const unpadded = buildBmp('bits24').subarray(0, -1)
  assert.is((await rejectionOf('image/bmp', unpadded)).code, 'ready')
})

test('a BMP with a JPEG in it is named as not supported', async () => {
  const file = buildBmp('bits24')
  file.writeUInt32LE(4, 30)
  const { code, message } = await rejectionOf('image/bmp', file)
  assert.is(code, 'image_not_supported')
  assert.match(message, 'the compression 4')
})

test('claimed sizes are rejected by the header', async () => {
  for (const form of ['bits24', 'rle8'] as const) {
    const file = buildBmp(form)
    file.writeInt32LE(50_000, 18)
    file.writeInt32LE(50_000, 22)
    assert.is((await rejectionOf('image/bmp', file)).code, 'image_too_many_pixels')
    assert.is(readImageHeader('image/bmp', file)?.width, 50_000)
  }
  const negative = buildBmp('bits24')
  negative.writeInt32LE(-17, 18)
  assert.is((await rejectionOf('image/bmp', negative)).code, 'image_corrupt')
})

test('the largest picture of an icon is shown, with its alpha', async () => {
  // Pillow 9.4 and ImageMagick 6.9.
  const expected = [
    [220, 30, 30, 128],
    [30, 200, 40, 255],
    [30, 40, 210, 128],
    [210, 200, 30, 255],
  ]
  for (const name of ['ico-32-bits-alpha.ico', 'ico-png.ico']) {
    const file = await fixtureImage(name)
    const picture = await openPicture('image/x-icon', file)
    assert.equal([picture.width, picture.height, picture.channels], [32, 32, 4], name)
    assert.is(largestDifference(quarterColours(picture), expected), 0, name)
    assert.is(picture.at(0, 0.5)[3], 0, name)
    assert.equal([readImageHeader('image/x-icon', file)?.width], [32])
  }
})

test("an icon's mask is its alpha", async () => {
  const picture = await openPicture('image/x-icon', await fixtureImage('ico-palette-mask.ico'))
  assert.is(largestDifference([picture.at(0.75, 0.25)], [[30, 200, 40, 255]]), 0)
  assert.is(picture.at(0.25, 0.75)[3], 0)
})

test('a cursor is an icon', async () => {
  const file = Buffer.from(await fixtureImage('ico-png.ico'))
  file[2] = 2
  assert.is((await openPicture('image/x-icon', file)).width, 32)
})

test('a cut icon is said to be incomplete', async () => {
  const message = 'The ICO is incomplete: the file ends before the end of the image.'
  for (const name of ['ico-32-bits-alpha.ico', 'ico-png.ico', 'ico-palette-mask.ico']) {
    const whole = await fixtureImage(name)
    for (const length of [Math.floor(whole.length * 0.7), 60, 30, 5]) {
      const rejection = await rejectionOf('image/x-icon', whole.subarray(0, length))
      assert.equal(rejection, { code: 'image_corrupt', message }, `${name}, ${length} bytes`)
    }
  }
})

test.run()
