import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { emptyDecoderBytes, estimateCost } from '@millrace/worker/decoders/decode-cost.ts'
import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import { writeVideoFrame } from '@millrace/worker/headers/video-frame.ts'
import { videoFrameKind } from '@millrace/worker/headers/video-frame-kind.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { buildBmp } from '../support/build-bmp.ts'
import { apngFile } from '../support/odd-images.ts'
import { animation, sampleImage, samplePicture } from '../support/sample-images.ts'

const test = suite('arithmetic of decode costs')
const MiB = 1024 ** 2

/** Width and height of all pictures here. */
const [width, height] = [60, 40]
const pixels = width * height

const none: Preset = { name: 'none', variants: [] }
const one = (recipe: Omit<VariantRecipe, 'name'>): Preset => ({
  name: 'one',
  variants: [{ name: 'one', ...recipe }],
})

/** What every raster image takes: an empty decoder, two copies of the file, and the rows that libvips keeps. */
const base = (file: Buffer) => 120 * MiB + 2 * file.length + 800 * width

function pngHeader(
  columns: number,
  rows: number,
  { bits = 8, colours = 2, isInterlaced = false } = {},
): Buffer {
  const file = Buffer.alloc(40)
  file.writeUInt32BE(columns, 16)
  file.writeUInt32BE(rows, 20)
  file.set([bits, colours, 0, 0, isInterlaced ? 1 : 0], 24)
  return file
}

const picture = () => samplePicture(width, height)
const frame = { width, height, x: 0, y: 0, dispose: 0, blend: 0, delay: [1, 10] } as const
const apngFrames = Array.from({ length: 3 }, () => ({ ...frame, pixels: Buffer.alloc(pixels * 4, 9) }))
const geometry = { width, height, rotation: 0, isMirrored: false, lacksMatrix: true } as const

for (const [name, kind, make, decoding] of [
  ['a JPEG', 'image/jpeg', () => sampleImage('image/jpeg', width, height), 2.5 * pixels],
  [
    'a progressive JPEG of 4:4:4',
    'image/jpeg',
    () => picture().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
    8.5 * pixels,
  ],
  [
    'a progressive JPEG of 4:2:0',
    'image/jpeg',
    () => picture().jpeg({ progressive: true, chromaSubsampling: '4:2:0' }).toBuffer(),
    5.5 * pixels,
  ],
  ['a PNG', 'image/png', () => pngHeader(width, height), 3 * pixels],
  ['a PNG of 16 bits', 'image/png', () => pngHeader(width, height, { bits: 16 }), 4.5 * pixels],
  ['a PNG with alpha', 'image/png', () => pngHeader(width, height, { colours: 6 }), 3.5 * pixels],
  [
    'a PNG with a palette',
    'image/png',
    () => pngHeader(width, height, { colours: 3, bits: 4 }),
    3.5 * pixels,
  ],
  ['an interlaced PNG', 'image/png', () => pngHeader(width, height, { isInterlaced: true }), 5.5 * pixels],
  [
    'an animated PNG of 3 frames',
    'image/apng',
    () => apngFile(width, height, apngFrames),
    30 * pixels + 28 * pixels + 64 * MiB,
  ],
  ['a WebP', 'image/webp', () => sampleImage('image/webp', width, height), 6 * pixels],
  [
    'an animated WebP of 3 frames',
    'image/webp',
    () => animation('image/webp', { width, height, frames: 3 }),
    18 * pixels + 48 * pixels,
  ],
  ['a GIF', 'image/gif', () => sampleImage('image/gif', width, height), 7 * pixels],
  [
    'an animated GIF of 3 frames',
    'image/gif',
    () => animation('image/gif', { width, height, frames: 3 }),
    6 * pixels + 48 * pixels,
  ],
  ['a TIFF', 'image/tiff', () => sampleImage('image/tiff', width, height), 5.5 * pixels],
  ['an AVIF', 'image/avif', () => sampleImage('image/avif', width, height), 22 * pixels],
  ['a video frame', videoFrameKind, () => writeVideoFrame(geometry, Buffer.alloc(9)), 64 * MiB + 26 * pixels],
] satisfies [string, ImageKind, () => Buffer | Promise<Buffer>, number][]) {
  test(`decoding ${name} is estimated as measured`, async () => {
    const file = await make()
    const frames = /of 3 frames/.test(name) ? 3 : 1
    assert.equal(estimateCost(kind, file, none), {
      bytes: Math.ceil(base(file) + decoding),
      isLarge: false,
      pixels: pixels * frames,
    })
  })
}

test('a BMP takes 9 bytes for each pixel, and its own file', () => {
  const file = buildBmp('bits24')
  const [columns, rows] = [file.readInt32LE(18), Math.abs(file.readInt32LE(22))]
  const expected = 120 * MiB + 2 * file.length + 800 * columns + 9 * columns * rows
  assert.is(estimateCost('image/bmp', file, none).bytes, expected)
})

test('a file without a header is estimated as an empty decoder and two copies of it', () => {
  for (const file of [Buffer.alloc(0), Buffer.alloc(1_000), pngHeader(0, 9)]) {
    assert.equal(estimateCost('image/png', file, none), {
      bytes: 120 * MiB + 2 * file.length,
      isLarge: false,
      pixels: 0,
    })
  }
  assert.is(emptyDecoderBytes, 120 * MiB)
})

test('each variant takes what its encoder and its effects take, and the largest one counts', () => {
  const file = pngHeader(width, height)
  const decoding = base(file) + 3 * pixels
  for (const [recipe, bytes] of [
    [{ format: 'webp' }, 20],
    [{ format: 'jpeg' }, 12],
    [{ format: 'png' }, 12],
    [{ format: 'original' }, 12],
    [{ format: 'avif' }, 44],
    [{ format: 'webp', lossless: true }, 44],
    [{ format: 'jpeg', gamut: 'p3' }, 24],
    [{ format: 'jpeg', blur: 1 }, 24],
    [{ format: 'jpeg', sharpen: true }, 24],
    [{ format: 'jpeg', width, height, fit: 'cover', position: 'attention' }, 20],
  ] satisfies [Omit<VariantRecipe, 'name'>, number][]) {
    const cost = estimateCost('image/png', file, one(recipe)).bytes
    assert.is(cost, decoding + bytes * pixels, JSON.stringify(recipe))
  }
  // A half of each side; 10 times the size with padding.
  assert.is(
    estimateCost('image/png', file, one({ format: 'webp', width: 30 })).bytes,
    decoding + (20 * pixels) / 4,
  )
  const padded = { format: 'webp', width: 600, height: 400, fit: 'contain' } as const
  assert.is(estimateCost('image/png', file, one(padded)).bytes, decoding + 20 * 100 * pixels)
  const both = { name: 'both', variants: [...one(padded).variants, { name: 'two', format: 'avif' as const }] }
  assert.is(estimateCost('image/png', file, both).bytes, decoding + 20 * 100 * pixels)
})

test('an animation that is enlarged takes all its frames in the new size', async () => {
  const file = await animation('image/webp', { width, height, frames: 3 })
  const larger = one({ format: 'webp', width: 2 * width, withoutEnlargement: false })
  const enlarged = 4 * pixels
  assert.is(
    estimateCost('image/webp', file, larger).bytes,
    base(file) + (3 * 6 + 48) * pixels + enlarged * 3 * 6 + enlarged * 20,
  )
})

test('an image is large from 25 megapixels on', () => {
  assert.is(estimateCost('image/png', pngHeader(5_000, 5_000), none).isLarge, true)
  assert.is(estimateCost('image/png', pngHeader(5_000, 4_999), none).isLarge, false)
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
  const square = (side: number) =>
    estimateCost('image/svg+xml', svg, one({ format: 'png', width: side })).isLarge
  assert.equal([square(4_999), square(5_000)], [false, true])
})

test('a vector image takes what is drawn of it, its elements and its images', () => {
  const drawn = 100 * 100
  const recipe = one({ format: 'webp', width: 100 })
  const svg = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${'<g/>'.repeat(7)}</svg>`,
  )
  assert.is(
    estimateCost('image/svg+xml', svg, recipe).bytes,
    120 * MiB + 16 * MiB + 30 * svg.length + 8 * 2_700 + 8 * drawn + 20 * drawn,
  )
  const pdf = Buffer.from(
    '%PDF-1.7 /MediaBox [0 0 50 50] << /Width 30 /Height 20 >> << /Width 3 /Height 2 >>',
  )
  assert.is(
    estimateCost('application/pdf', pdf, recipe).bytes,
    120 * MiB + 48 * MiB + 3 * pdf.length + 6 * 600 + 8 * drawn + 20 * drawn,
  )
})

test.run()
