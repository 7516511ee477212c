import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { largestDifference, openPicture, quarterColours, rejectionOf } from '../support/open-picture.ts'

const test = suite('JPEG XL images')

/** As djxl 0.7 decodes them. */
const expectations: [name: string, width: number, height: number, colours: number[][], limit: number][] = [
  [
    'jxl-photo.jxl',
    160,
    120,
    [
      [63, 143, 66],
      [129, 103, 85],
      [0, 2, 19],
      [100, 100, 67],
    ],
    1.5,
  ],
  [
    'jxl-turned.jxl',
    64,
    96,
    [
      [28, 40, 210],
      [220, 30, 33],
      [210, 200, 26],
      [31, 200, 42],
    ],
    1.5,
  ],
  [
    'jxl-alpha.jxl',
    64,
    64,
    [
      [220, 30, 30, 255],
      [30, 200, 40, 255],
      [30, 40, 210, 128],
      [210, 200, 30, 128],
    ],
    0.1,
  ],
  [
    'jxl-container.jxl',
    64,
    64,
    [
      [220, 30, 30, 255],
      [30, 200, 40, 255],
      [30, 40, 210, 128],
      [210, 200, 30, 128],
    ],
    0.1,
  ],
]
for (const [name, width, height, colours, limit] of expectations) {
  test(`${name} has its size and colours`, async () => {
    const picture = await openPicture('image/jxl', await fixtureImage(name))
    assert.equal([picture.width, picture.height, picture.warnings], [width, height, []])
    const difference = largestDifference(quarterColours(picture), colours)
    assert.ok(difference < limit, `${difference} ${JSON.stringify(quarterColours(picture))}`)
  })
}

test('Display P3 becomes sRGB, of lossy and of lossless images', async () => {
  // Computed with the matrix of CSS Color 4, 10.5 (P3 to sRGB), and clipped.
  const expected = [
    [240, 0, 0],
    [0, 204, 0],
    [27, 40, 219],
    [212, 200, 0],
  ]
  for (const name of ['jxl-p3.jxl', 'jxl-p3-lossless.jxl']) {
    const picture = await openPicture('image/jxl', await fixtureImage(name))
    const difference = largestDifference(quarterColours(picture), expected)
    assert.ok(difference < 2.5, `${name} ${difference} ${JSON.stringify(quarterColours(picture))}`)
  }
})

test('a picture of high dynamic range is tone-mapped', async () => {
  const picture = await openPicture('image/jxl', await fixtureImage('jxl-pq.jxl'))
  // PQ codes 58 % (203 cd/m², white paper) and 75 % (983 cd/m²).
  const expected = [
    [243, 243, 243],
    [254, 254, 254],
  ]
  const difference = largestDifference(quarterColours(picture).slice(0, 2), expected)
  assert.ok(difference < 1.5, `${difference} ${JSON.stringify(quarterColours(picture))}`)
})

test('an animation is shown by its first frame, and the owner is told', async () => {
  const picture = await openPicture('image/jxl', await fixtureImage('jxl-animation.jxl'))
  assert.is(picture.frames, 1)
  assert.equal(picture.warnings, ['The JPEG XL is an animation of 3 frames. Only the first is shown.'])
  assert.is(largestDifference([picture.at(0.25, 0.25)], [[220, 30, 30]]), 0)
})

test('a cut JPEG XL is said to be incomplete', async () => {
  const message = 'The JPEG XL is incomplete: the file ends before the end of the image.'
  for (const name of ['jxl-photo.jxl', 'jxl-container.jxl']) {
    const whole = await fixtureImage(name)
    for (const length of [whole.length - 1, Math.floor(whole.length / 2), 14]) {
      const rejection = await rejectionOf('image/jxl', whole.subarray(0, length))
      assert.equal(rejection, { code: 'image_corrupt', message }, `${name}, ${length} bytes`)
    }
  }
})

test('a claimed size over the limit is rejected by the header', async () => {
  // ISO/IEC 18181-1, D.2: not small, height and width of 18 bits: 2 is their selector, from the lowest bit.
  const bits = ['0', '01', (99_999).toString(2).padStart(18, '0').split('').reverse().join(''), '000', '01']
  bits.push((99_999).toString(2).padStart(18, '0').split('').reverse().join(''))
  const text = bits.join('').padEnd(48, '0')
  const header = Array.from({ length: 6 }, (_, byte) =>
    Number.parseInt(
      text
        .slice(8 * byte, 8 * byte + 8)
        .split('')
        .reverse()
        .join(''),
      2,
    ),
  )
  const file = Buffer.from([0xff, 0x0a, ...header, ...Buffer.alloc(100)])
  assert.equal(
    [readImageHeader('image/jxl', file)?.width, readImageHeader('image/jxl', file)?.height],
    [100_000, 100_000],
  )
  assert.is((await rejectionOf('image/jxl', file)).code, 'image_too_many_pixels')
})

test('the header is read with any ratio of sides', async () => {
  for (const [name, width, height] of [
    ['jxl-photo.jxl', 160, 120],
    ['jxl-turned.jxl', 96, 64],
    ['jxl-container.jxl', 64, 64],
  ] as const) {
    const header = readImageHeader('image/jxl', await fixtureImage(name))
    assert.equal([header?.width, header?.height], [width, height], name)
  }
})

test.run()
