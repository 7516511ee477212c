import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defaultPreset, type Preset, type VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { estimateCost } from '@millrace/worker/decoders/decode-cost.ts'
import { startDecoderProcess } from '@millrace/worker/decoders/decoder-process.ts'
import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { buildBmp } from '../support/build-bmp.ts'
import { buildHeif, codedItem, gridItem, readCodedPictures, sizeProperty } from '../support/build-heif.ts'
import { compileCacheVariables } from '../support/compile-cache.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { apngFile, interlacedPng } from '../support/odd-images.ts'
import { onePagePdf, pdfStream } from '../support/pdf-builder.ts'
import { makeTiffRaw } from '../support/raw-builder.ts'
import { animation, sampleImage, sampleKinds, samplePicture } from '../support/sample-images.ts'
import { tiffFile } from '../support/tiff-files.ts'

// Images of some megapixels.
const test = suite('decode cost', {}, { limitMs: 120_000 })
const program = fileURLToPath(import.meta.resolve('@millrace/worker/decoders/decoder-main.ts'))

/** Renders an image in a new decoder. @returns the largest memory that it had, in bytes, from /proc */
async function peakBytes(kind: ImageKind, file: Buffer, preset: Preset): Promise<number> {
  const decoder = startDecoderProcess({
    program,
    environment: { MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: '2', ...compileCacheVariables },
  })
  try {
    const end = await decoder.run(
      { kind, preset, maxPixels: 100_000_000, file },
      {
        limits: { cpuMs: 120_000, wallMs: 120_000, rssBytes: 4 * 1024 ** 3 },
        signal: new AbortController().signal,
        onAnswer: () => {},
      },
    )
    assert.equal([end.end, end.end === 'answered' && end.last.type], ['answered', 'rendered'])
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${decoder.pid}/status`, 'utf8'))?.[1]
    return Number(peak) * 1024
  } finally {
    decoder.kill()
    await decoder.exited
  }
}

/** Makes a PDF whose page is one JPEG. @param side of the JPEG, in pixels */
function pdfWithJpeg(jpeg: Buffer, side: number): Buffer {
  const entries = `/Type/XObject/Subtype/Image/Width ${side}/Height ${side}/BitsPerComponent 8/ColorSpace/DeviceRGB/Filter/DCTDecode`
  return onePagePdf({
    content: '200 0 0 100 0 0 cm /I Do',
    page: '/Resources<</XObject<</I 5 0 R>>>>',
    more: [pdfStream(jpeg.toString('latin1'), entries)],
  })
}

/**
 * In pixels. `COST_SIDE=2400 npm test -- decode-cost` compares the estimates with larger images, in two minutes of CPU, and
 * with images and variants that are made in the same ways as others here.
 */
const side = Number(process.env['COST_SIDE'] ?? 1200)
const isThorough = process.env['COST_SIDE'] !== undefined
const svgElements = isThorough ? 50_000 : 20_000

/** A grid of 30 × 30 tiles of 64 × 64. libheif takes 1,000 items. */
async function largeHeic(): Promise<Buffer> {
  const size = sizeProperty(64, 64)
  const coded = readCodedPictures(await fixtureImage('heic-tiles.heic')).map((tile) => codedItem(tile, size))
  const tiles = Array.from({ length: 225 }, () => coded).flat()
  const grid = gridItem(
    { rows: 30, columns: 30, width: 1920, height: 1920 },
    tiles.map((_, index) => index + 1),
  )
  return buildHeif({ items: [...tiles, grid], primary: tiles.length + 1 })
}

/** A black BMP of 24 bits. */
function largeBmp(): Buffer {
  const small = buildBmp('bits24')
  const file = Buffer.alloc(small.readUInt32LE(10) + side * side * 3)
  small.copy(file, 0, 0, small.readUInt32LE(10))
  file.writeInt32LE(side, 18)
  file.writeInt32LE(side, 22)
  return file
}

const xmlns = 'xmlns="http://www.w3.org/2000/svg"'
type Case = [string, ImageKind, () => Promise<Buffer> | Buffer]
const large: Case[] = [
  ['a JPEG', 'image/jpeg', () => sampleImage('image/jpeg', side, side)],
  [
    'a progressive JPEG',
    'image/jpeg',
    () => samplePicture(side, side).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
  ],
  [
    'a turned JPEG',
    'image/jpeg',
    () => samplePicture(side, side).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
  ],
  ['an interlaced PNG of 16 bits', 'image/png', () => interlacedPng(side)],
  ['an AVIF', 'image/avif', () => samplePicture(side, side).avif({ effort: 0 }).toBuffer()],
  [
    'a TIFF of fractions',
    'image/tiff',
    () =>
      tiffFile(
        { 256: side, 257: side, 258: [32, 32, 32], 259: 1, 262: 2, 277: 3, 278: side, 339: [3, 3, 3] },
        [Buffer.alloc(12 * side * side)],
      ),
  ],
  [
    'an animated PNG',
    'image/apng',
    () => {
      const [width, height] = [800, 600]
      const pixels = Buffer.alloc(width * height * 4, 90)
      const frame = { width, height, x: 0, y: 0, dispose: 2, blend: 1, delay: [1, 10], pixels } as const
      return apngFile(width, height, Array(6).fill(frame))
    },
  ],
  ['a HEIC of tiles', 'image/heic', largeHeic],
  ['a JPEG XL', 'image/jxl', () => fixtureImage('jxl-large.jxl')],
  ['a BMP', 'image/bmp', largeBmp],
  ['an animated GIF', 'image/gif', () => animation('image/gif', { width: 600, height: 400, frames: 6 })],
  [
    `an SVG of ${svgElements} elements`,
    'image/svg+xml',
    () =>
      Buffer.from(
        `<svg ${xmlns} width="9" height="9">${'<rect width="1" height="1"/>'.repeat(svgElements)}</svg>`,
      ),
  ],
  [
    'a PDF with a progressive JPEG',
    'application/pdf',
    async () => pdfWithJpeg(await samplePicture(side, side).jpeg({ progressive: true }).toBuffer(), side),
  ],
  [
    'a raw file',
    'image/x-adobe-dng',
    async () => makeTiffRaw({ preview: await sampleImage('image/jpeg', side, side), orientation: 6 }),
  ],
]
const further: Case[] = [
  [
    'a lossless WebP',
    'image/webp',
    () => samplePicture(side, side).webp({ lossless: true, effort: 0 }).toBuffer(),
  ],
  ['a TIFF', 'image/tiff', () => samplePicture(side, side).tiff({ compression: 'none' }).toBuffer()],
  ['a GIF', 'image/gif', () => samplePicture(side, side).gif({ effort: 1 }).toBuffer()],
  ['a PDF', 'application/pdf', () => onePagePdf({ box: '/MediaBox[0 0 100 100]' })],
  ['an animated WebP', 'image/webp', () => animation('image/webp', { width: 600, height: 400, frames: 6 })],
]
/** The variant that takes most. The others of a preset cost CPU time, and are rendered with the first image only. */
const largest: Preset = { name: 'largest', variants: defaultPreset.variants.slice(0, 1) }
for (const [index, [name, kind, make]] of [...large, ...(isThorough ? further : [])].entries()) {
  test(`rendering ${name} takes no more memory than estimated`, async () => {
    const file = await make()
    const preset = index === 0 ? defaultPreset : largest
    const estimated = estimateCost(kind, file, preset).bytes
    const peak = await peakBytes(kind, file, preset)
    assert.ok(peak <= estimated, `${peak} of ${estimated} bytes`)
  })
}

const box = { width: 1200, height: 1200 }
const variants: [string, Omit<VariantRecipe, 'name'>][] = [
  ['a variant in Display P3 with effects', { format: 'jpeg', gamut: 'p3', blur: 50 }],
  ['an enlarged variant', { width: 2400, format: 'webp', effort: 0, withoutEnlargement: false }],
]
const furtherVariants: typeof variants = [
  ['a lossless variant', { format: 'webp', lossless: true, effort: 2 }],
  ['a cropped variant', { ...box, height: 600, format: 'jpeg', fit: 'cover', position: 'attention' }],
]
for (const [name, variant] of [...variants, ...(isThorough ? furtherVariants : [])]) {
  test(`rendering ${name} takes no more memory than estimated`, async () => {
    const preset = { name: 'one', variants: [{ name: 'one', ...variant }] }
    const file = await sampleImage('image/jpeg', box.width, box.height)
    const peak = await peakBytes('image/jpeg', file, preset)
    const estimated = estimateCost('image/jpeg', file, preset).bytes
    assert.ok(peak <= estimated, `${peak} of ${estimated} bytes`)
  })
}

test('variants that are larger than a small image are part of its cost', async () => {
  const small = await animation('image/gif', { width: 100, height: 100, frames: 8 })
  const cost = (variant: Omit<VariantRecipe, 'name'>) =>
    estimateCost('image/gif', small, { name: 'a', variants: [{ name: 'a', ...variant }] }).bytes
  const plain = cost({ ...box, format: 'webp' })
  const pixels = box.width * box.height
  assert.ok(cost({ ...box, format: 'png', fit: 'contain' }) > plain + 10 * pixels)
  assert.ok(cost({ ...box, format: 'png', withoutEnlargement: false }) > plain + 10 * pixels)
  assert.ok(cost({ ...box, format: 'webp', fit: 'contain' }) > plain + 8 * 5 * pixels, 'all frames')
})

for (const kind of sampleKinds) {
  test(`the header of ${kind} is read without a decoder`, async () => {
    const header = readImageHeader(kind, await sampleImage(kind))
    assert.equal([header?.width, header?.height, header?.frames], [240, 160, 1])
  })

  test(`any bytes of ${kind} have a cost`, async () => {
    const file = await sampleImage(kind, 60, 40)
    let seed = 9
    for (let round = 0; round < 100; round++) {
      const bytes = Buffer.from(file.subarray(0, (round * 37) % file.length))
      for (let flips = 0; flips < 4 && bytes.length > 0; flips++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
        bytes[seed % Math.min(bytes.length, 400)] = (seed >> 12) & 0xff
      }
      assert.ok(estimateCost(kind, bytes, defaultPreset).bytes > 0)
    }
  })
}

test('a very wide image costs more than a square one with as many pixels', () => {
  const png = (width: number, height: number) => {
    const header = interlacedPng(2)
    header.writeUInt32BE(width, 16)
    header.writeUInt32BE(height, 20)
    return estimateCost('image/png', header, defaultPreset).bytes
  }
  // Measured: 2,536 MB with 4 million × 16 pixels, above an empty decoder.
  assert.ok(png(4_000_000, 16) > 2_536e6)
  assert.ok(png(8_000, 8_000) < 1_000e6)
})
const furtherFormats: [ImageKind, string][] = [
  ['image/heic', 'heic-photo.heic'],
  ['image/jxl', 'jxl-container.jxl'],
  ['image/bmp', 'bmp-v5-alpha.bmp'],
  ['image/x-icon', 'ico-png.ico'],
]
for (const [kind, name] of furtherFormats) {
  test(`any bytes of ${name} have a cost`, async () => {
    const file = await fixtureImage(name)
    let seed = 9
    for (let round = 0; round < 100; round++) {
      const bytes = Buffer.from(file.subarray(0, (round * 37) % file.length))
      for (let flips = 0; flips < 4 && bytes.length > 0; flips++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
        bytes[seed % Math.min(bytes.length, 400)] = (seed >> 12) & 0xff
      }
      assert.ok(estimateCost(kind, bytes, defaultPreset).bytes > 0)
    }
  })
}
test('a vector image costs what its largest variant costs, whatever size it asks for', () => {
  const cost = (attributes: string, width = 1000) =>
    estimateCost('image/svg+xml', Buffer.from(`<svg ${xmlns} ${attributes}/>`), {
      name: 'one',
      variants: [{ name: 'one', fit: 'inside', width, format: 'webp', quality: 80 }],
    })
  assert.is(cost('width="10" height="10"').pixels, 1_000_000)
  assert.is(cost('width="1e8" height="1e8"').pixels, 1_000_000)
  assert.is(cost('width="1e8" height="1e8"', 16_000).pixels, 25_000_000)
  assert.ok(cost('').pixels > 1_000_000, 'unknown proportions are those of A4')
  assert.ok(cost('', 3000).bytes > cost('', 1000).bytes)
})

test.run()
