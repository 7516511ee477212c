import { deflateSync, zstdCompressSync } from 'node:zlib'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  flagColours,
  flagPicture,
  flagPixel,
  flagSize,
  largestDifference,
  outcomeOf,
  renderFile,
} from '../support/colours.ts'
import { type FlagTiff, flagPixels, flagTiff, packed, tiffFile } from '../support/tiff-files.ts'

const test = suite('odd TIFF files')
const kind = 'image/tiff'

const bytes = (values: readonly number[]) => Buffer.from(values.map((value) => value & 0xff))
const words = (values: readonly number[]) =>
  packed(values, 2, (view, at, value) => view.setUint16(at, value, true))
const float32 = (values: readonly number[]) =>
  packed(values, 4, (view, at, value) => view.setFloat32(at, value, true))
const grey = (colour: readonly number[]) => Math.floor(colour.reduce((sum, value) => sum + value, 0) / 3)
const greys = flagColours.map((colour) => Array.from({ length: 3 }, () => grey(colour)))
const withAlpha = flagColours.map((colour) => [...colour, 128])
const fractions = { 339: [3, 3, 3] }
const signed = { 339: [2, 2, 2] }

/** sRGB to L*a*b* of D50, as the tool that made the values (Python, Bradford's matrix). */
const lab: Record<string, readonly [number, number, number]> = {
  '200,30,20': [44.0, 63.6, 51.6],
  '40,180,60': [64.5, -55.4, 48.2],
  '30,50,190': [28.6, 35.8, -76.3],
  '220,200,40': [80.4, -4.2, 73.9],
}
const labOf = (colour: readonly number[]) => lab[colour.join()] ?? [0, 0, 0]

/** Expected are the flag's colours, unless `colours` says otherwise. ImageMagick 6.9.11 and Pillow 9.4 show the same. */
const readable: Record<string, FlagTiff & { colours?: readonly (readonly number[])[]; tolerance?: number }> =
  {
    '8 bits with a sign': { samples: 3, bits: 8, tags: signed, pixel: (c) => bytes(c.map((v) => v - 128)) },
    '16 bits with a sign': {
      samples: 3,
      bits: 16,
      tags: signed,
      pixel: (c) => words(c.map((v) => (v * 257 + 0x8000) & 0xffff)),
    },
    'grey of 16 bits with a sign': {
      samples: 1,
      bits: 16,
      photometric: 1,
      tags: { 339: 2 },
      pixel: (c) => words([(grey(c) * 257 + 0x8000) & 0xffff]),
      colours: greys,
    },
    '12 bits in 16': {
      samples: 3,
      bits: 16,
      tags: { 281: [4095, 4095, 4095] },
      pixel: (c) => words(c.map((v) => Math.round((v / 255) * 4095))),
    },
    '32 bits': {
      samples: 3,
      bits: 32,
      pixel: (c) => packed(c, 4, (view, at, v) => view.setUint32(at, v * 0x01010101, true)),
    },
    'fractions of 16 bits': {
      samples: 3,
      bits: 16,
      tags: fractions,
      pixel: (c) => packed(c, 2, (view, at, v) => view.setFloat16(at, v / 255, true)),
    },
    'fractions of 32 bits': {
      samples: 3,
      bits: 32,
      tags: fractions,
      pixel: (c) => float32(c.map((v) => v / 255)),
    },
    'fractions of 64 bits': {
      samples: 3,
      bits: 64,
      tags: fractions,
      pixel: (c) => packed(c, 8, (view, at, v) => view.setFloat64(at, v / 255, true)),
    },
    'grey fractions': {
      samples: 1,
      bits: 32,
      photometric: 1,
      tags: { 339: 3 },
      pixel: (c) => float32([grey(c) / 255]),
      colours: greys,
    },
    'fractions from 0 to 255': { samples: 3, bits: 32, tags: fractions, pixel: (c) => float32(c) },
    'heights, shown from the lowest to the highest': {
      samples: 1,
      bits: 32,
      photometric: 1,
      tags: { 339: 3 },
      pixel: (c) => float32([grey(c) * 10 - 500]),
      colours: greys.map(([value = 0]) =>
        Array.from({ length: 3 }, () => Math.round(((value - 83) / (153 - 83)) * 255)),
      ),
    },
    'one more channel': { samples: 4, bits: 8, tags: { 338: 0 }, pixel: (c) => bytes([...c, 77]) },
    'one more channel that the file does not mention': {
      samples: 4,
      bits: 8,
      pixel: (c) => bytes([...c, 77]),
    },
    'two more channels': { samples: 5, bits: 8, tags: { 338: [0, 0] }, pixel: (c) => bytes([...c, 77, 99]) },
    'alpha and one more channel': {
      samples: 5,
      bits: 8,
      tags: { 338: [2, 0] },
      pixel: (c) => bytes([...c, 128, 99]),
      colours: withAlpha,
    },
    'one more channel, then alpha': {
      samples: 5,
      bits: 8,
      tags: { 338: [0, 2] },
      pixel: (c) => bytes([...c, 99, 128]),
      colours: withAlpha,
    },
    'grey and three more channels': {
      samples: 4,
      bits: 8,
      photometric: 1,
      tags: { 338: [0, 0, 0] },
      pixel: (c) => bytes([grey(c), 1, 2, 3]),
      colours: greys,
    },
    'premultiplied alpha': {
      samples: 4,
      bits: 8,
      tags: { 338: 1 },
      pixel: (c) => bytes([...c.map((v) => Math.round((v * 128) / 255)), 128]),
      colours: withAlpha,
    },
    'no photometric interpretation': {
      samples: 3,
      bits: 8,
      tags: { 262: undefined },
      pixel: (c) => bytes(c),
    },
    'L*a*b* of 8 bits': {
      samples: 3,
      bits: 8,
      photometric: 8,
      pixel: (c) => {
        const [l, a, b] = labOf(c)
        return bytes([Math.round(l * 2.55), Math.round(a), Math.round(b)])
      },
      tolerance: 3,
    },
    'L*a*b* of 8 bits with alpha': {
      samples: 4,
      bits: 8,
      photometric: 8,
      tags: { 338: 2 },
      pixel: (c) => {
        const [l, a, b] = labOf(c)
        return bytes([Math.round(l * 2.55), Math.round(a), Math.round(b), 128])
      },
      colours: withAlpha,
      tolerance: 3,
    },
    'L*a*b* of ICC': {
      samples: 3,
      bits: 8,
      photometric: 9,
      pixel: (c) => {
        const [l, a, b] = labOf(c)
        return bytes([Math.round(l * 2.55), Math.round(a) + 128, Math.round(b) + 128])
      },
      tolerance: 3,
    },
    'YCbCr without subsampling': {
      samples: 3,
      bits: 8,
      photometric: 6,
      tags: { 530: [1, 1] },
      pixel: ([r, g, b]) =>
        bytes(
          [
            0.299 * r + 0.587 * g + 0.114 * b,
            128 - 0.1687 * r - 0.3313 * g + 0.5 * b,
            128 + 0.5 * r - 0.4187 * g - 0.0813 * b,
          ].map(Math.round),
        ),
      tolerance: 1.5,
    },
    'white is zero': {
      samples: 1,
      bits: 8,
      photometric: 0,
      pixel: (c) => bytes([255 - grey(c)]),
      colours: greys,
    },
  }

for (const [name, { colours = flagColours, tolerance = 0.8, ...file }] of Object.entries(readable)) {
  test(`a TIFF with ${name} has the right colours`, async () => {
    const found = await renderFile(kind, flagTiff(file))
    assert.is(`${found.image.width}×${found.image.height}`, '64×48')
    const distance = largestDifference(found.colours, colours)
    assert.ok(distance <= tolerance, `ΔE ${distance}: ${JSON.stringify(found.colours)}`)
  })
}

for (const bits of [10, 12, 14]) {
  test(`a TIFF with packed samples of ${bits} bits has the right colours`, async () => {
    const { width, height } = flagSize
    const rows = Array.from({ length: height }, (_, y) => {
      const samples = Array.from({ length: width }, (__, x) => flagPixel(x, y)).flat()
      const text = samples
        .map((v) =>
          Math.round((v / 255) * (2 ** bits - 1))
            .toString(2)
            .padStart(bits, '0'),
        )
        .join('')
      return Buffer.from((text.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2)))
    })
    const tags = { 256: width, 257: height, 258: [bits, bits, bits], 259: 1, 262: 2, 277: 3, 278: height }
    const { colours } = await renderFile(kind, tiffFile(tags, [Buffer.concat(rows)]))
    assert.ok(largestDifference(colours, flagColours) < 0.8, JSON.stringify(colours))
  })
}

test('a TIFF with extra channels is read with each compression and predictor', async () => {
  const pixel = (colour: readonly number[]) => bytes([...colour, 1, 2])
  const raw = flagPixels(pixel)
  const differences = Buffer.from(raw)
  const rowBytes = flagSize.width * 5
  for (let at = raw.length - 1; at >= 0; at--) {
    if (at % rowBytes >= 5) differences[at] = ((raw[at] ?? 0) - (raw[at - 5] ?? 0)) & 0xff
  }
  const tags = { 256: 64, 257: 48, 258: [8, 8, 8, 8, 8], 262: 2, 277: 5, 278: 48, 338: [0, 0] }
  const files = [
    tiffFile({ ...tags, 259: 8 }, [deflateSync(raw)]),
    tiffFile({ ...tags, 259: 8, 317: 2 }, [deflateSync(differences)]),
    tiffFile({ ...tags, 259: 50_000 }, [zstdCompressSync(raw)]),
    tiffFile(
      { ...tags, 259: 1, 278: 20 },
      [0, 20, 40].map((row) => raw.subarray(row * rowBytes, Math.min(48, row + 20) * rowBytes)),
    ),
  ]
  for (const [index, file] of files.entries()) {
    const { colours } = await renderFile(kind, file)
    assert.equal(colours, flagColours, `file ${index}`)
  }
})

test('a TIFF in planes with extra channels, and one in ZSTD, are read', async () => {
  const plane = (channel: number) => flagPixels((colour) => bytes([[...colour, 7, 9][channel] ?? 0]))
  const tags = {
    256: 64,
    257: 48,
    258: [8, 8, 8, 8, 8],
    259: 1,
    262: 2,
    277: 5,
    278: 48,
    284: 2,
    338: [0, 0],
  }
  const planar = await renderFile(kind, tiffFile(tags, [0, 1, 2, 3, 4].map(plane)))
  assert.equal(planar.colours, flagColours)
  const plain = { 256: 64, 257: 48, 258: [8, 8, 8], 259: 50_000, 262: 2, 277: 3, 278: 48 }
  const zstd = await renderFile(kind, tiffFile(plain, [zstdCompressSync(flagPixels(bytes))]))
  assert.equal(zstd.colours, flagColours)
})

test('a ZSTD strip that unpacks to more than its size is damage', async () => {
  const tags = { 256: 64, 257: 48, 258: [8, 8, 8], 259: 50_000, 262: 2, 277: 3, 278: 48 }
  const bomb = tiffFile(tags, [zstdCompressSync(Buffer.alloc(50_000_000))])
  assert.match(await outcomeOf(kind, bomb), /^image_corrupt/)
})

test('a TIFF that is rewritten keeps its orientation', async () => {
  const [topLeft, topRight, bottomLeft, bottomRight] = flagColours
  const file = (orientation: number) =>
    flagTiff({
      samples: 5,
      bits: 8,
      tags: { 274: orientation, 338: [0, 0] },
      pixel: (c) => bytes([...c, 1, 2]),
    })
  const turned = await renderFile(kind, file(6))
  assert.is(`${turned.image.width}×${turned.image.height}`, '48×64')
  assert.equal(turned.colours, [bottomLeft, topLeft, bottomRight, topRight])
})

const unsupported = {
  'compressed with LZMA': [{ 259: 34_925 }, 'The TIFF is compressed with LZMA, which is not supported.'],
  'compressed with JBIG': [{ 259: 34_661 }, 'The TIFF is compressed with JBIG, which is not supported.'],
  'compressed with JPEG 2000': [
    { 259: 34_712 },
    'The TIFF is compressed with JPEG 2000, which is not supported.',
  ],
  'compressed with old-style JPEG': [
    { 259: 6 },
    'The TIFF is compressed with old-style JPEG, which is not supported.',
  ],
  'compressed with LERC': [{ 259: 34_887 }, 'The TIFF is compressed with LERC, which is not supported.'],
  'compressed in an unknown way': [
    { 259: 12_345 },
    'The TIFF is compressed with method 12345, which is not supported.',
  ],
  'of a camera sensor': [
    { 262: 32_803 },
    'The TIFF has the unprocessed data of a camera sensor, which is not supported.',
  ],
  'of an unknown colour space': [{ 262: 77 }, 'The TIFF has the colour space 77, which is not supported.'],
  'of complex numbers': [{ 339: 6 }, 'The TIFF has complex numbers, which are not supported.'],
  'of samples of several sizes': [
    { 258: [5, 6, 5] },
    'The TIFF has samples of different sizes (5, 6, 5 bits), which are not supported.',
  ],
  'of integers of 64 bits': [
    { 258: [64, 64, 64] },
    'The TIFF has samples of 64 bits, which are not supported.',
  ],
} as const

for (const [name, [tags, message]] of Object.entries(unsupported)) {
  test(`a TIFF ${name} is not supported, and not damaged`, async () => {
    const file = flagTiff({ samples: 3, bits: 8, tags, pixel: (colour) => bytes(colour) })
    assert.is(await outcomeOf(kind, file), `image_not_supported: ${message}`)
  })
}

test('an odd TIFF that is cut is rejected as incomplete', async () => {
  const tags = {
    256: 64,
    257: 48,
    258: [32, 32, 32],
    259: 1,
    262: 2,
    277: 3,
    278: 48,
    279: 900_000,
    339: [3, 3, 3],
  }
  const file = tiffFile(tags, [flagPixels((c) => float32(c.map((v) => v / 255)))])
  assert.is(
    await outcomeOf(kind, file),
    'image_corrupt: The TIFF is incomplete: the file ends before the end of the image.',
  )
})

test('palettes of 1, 2, 4 and 8 bits, two levels and tiles are read', async () => {
  for (const bits of [2, 4, 8]) {
    const perByte = 8 / bits
    const { width, height } = flagSize
    const index = (i: number) =>
      (i % width < width / 2 ? 0 : 1) + (Math.floor(i / width) < height / 2 ? 0 : 2)
    const strip = Buffer.from(
      Array.from({ length: (width * height) / perByte }, (_, at) =>
        Array.from({ length: perByte }, (__, i) => index(at * perByte + i) << (8 - bits * (i + 1))).reduce(
          (a, b) => a | b,
        ),
      ),
    )
    const entry = (channel: 0 | 1 | 2) =>
      Array.from({ length: 2 ** bits }, (_, i) => (flagColours[i % 4] ?? flagColours[0])[channel] * 257)
    const tags = {
      256: width,
      257: height,
      258: bits,
      259: 1,
      262: 3,
      277: 1,
      278: height,
      320: [...entry(0), ...entry(1), ...entry(2)],
    }
    assert.equal((await renderFile(kind, tiffFile(tags, [strip]))).colours, flagColours, `${bits} bits`)
  }
  for (const compression of ['ccittfax4', 'none'] as const) {
    const right = Buffer.from(Array.from({ length: 64 * 48 }, (_, i) => (i % 64 < 32 ? 0 : 255)))
    const levels = await sharp(right, { raw: { width: 64, height: 48, channels: 1 } })
      .toColourspace('b-w')
      .tiff({ compression, bitdepth: 1 })
      .toBuffer()
    assert.equal((await renderFile(kind, levels)).colours, [
      [0, 0, 0],
      [255, 255, 255],
      [0, 0, 0],
      [255, 255, 255],
    ])
  }
  for (const compression of ['deflate', 'lzw', 'webp', 'jpeg'] as const) {
    const tiled = await flagPicture()
      .tiff({ compression, tile: true, tileWidth: 32, tileHeight: 16, bigtiff: true, quality: 95 })
      .toBuffer()
    assert.ok(largestDifference((await renderFile(kind, tiled)).colours, flagColours) < 3, compression)
  }
})

test('the first page is shown, and pages are counted', async () => {
  const page = await sharp(
    Buffer.concat([await flagPicture().raw().toBuffer(), await flagPicture(1).raw().toBuffer()]),
    {
      raw: { width: 64, height: 96, channels: 3, pageHeight: 48 },
    },
  )
    .tiff({ compression: 'lzw' })
    .toBuffer()
  const { image, colours } = await renderFile(kind, page)
  assert.is(image.pages, 2)
  assert.equal(colours, flagColours)
})

test.run()
