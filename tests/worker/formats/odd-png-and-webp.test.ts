import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  type Colour,
  flagColours,
  flagPicture,
  flagPixel,
  flagSize,
  largestDifference,
  outcomeOf,
  renderFile,
} from '../support/colours.ts'
import { pngChunk } from '../support/odd-images.ts'
import { oddPngs, oddWebps, pngFile } from '../support/odd-pngs-and-webps.ts'

const test = suite('odd PNG and WebP files')

const { width, height } = flagSize
const header = (bits = 8) => {
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width, 0)
  data.writeUInt32BE(height, 4)
  data.set([bits, 2, 0, 0, 0], 8)
  return pngChunk('IHDR', data)
}
const rows = (pixel: (colour: readonly [number, number, number]) => Buffer) =>
  Buffer.concat(
    Array.from({ length: height }, (_, y) =>
      Buffer.concat([Buffer.alloc(1), ...Array.from({ length: width }, (__, x) => pixel(flagPixel(x, y)))]),
    ),
  )
const raw = rows((colour) => Buffer.from(colour))
const end = pngChunk('IEND', Buffer.alloc(0))
const plain = pngFile(header(), pngChunk('IDAT', deflateSync(raw)), end)

/** Returns a chunk whose checksum is wrong. */
function wrongCrc(chunk: Buffer): Buffer {
  const copy = Buffer.from(chunk)
  copy.writeUInt32BE((crc32(chunk.subarray(4, -4)) ^ 1) >>> 0, chunk.length - 4)
  return copy
}

function assertColours(found: readonly Colour[], expected: readonly Colour[], tolerance = 0): void {
  const distance = largestDifference(found, expected)
  assert.ok(distance <= tolerance, `ΔE ${distance}: ${JSON.stringify(found)}`)
}

for (const [name, file] of Object.entries(oddPngs(plain, raw))) {
  test(`a PNG with ${name} has all pixels`, async () => {
    assertColours((await renderFile('image/png', file)).colours, flagColours)
  })
}

const data = deflateSync(raw)
const withWrongSum = Buffer.concat([data.subarray(0, -4), Buffer.from('sum!')])
const damagedPngs = {
  'both checksums of its image data wrong': pngFile(header(), wrongCrc(pngChunk('IDAT', withWrongSum)), end),
  'a wrong checksum of its header': pngFile(wrongCrc(header()), pngChunk('IDAT', data), end),
  'half of its rows': pngFile(header(), pngChunk('IDAT', deflateSync(raw.subarray(0, raw.length / 2))), end),
  'all rows but one': pngFile(header(), pngChunk('IDAT', deflateSync(raw.subarray(0, -193))), end),
  'no image data': pngFile(header(), end),
}
for (const [name, file] of Object.entries(damagedPngs)) {
  test(`a PNG with ${name} is rejected`, async () => {
    assert.match(await outcomeOf('image/png', file), /^image_corrupt: The PNG is (damaged|incomplete)/)
  })
}

test('a PNG of an iOS application is not supported, and not damaged', async () => {
  const file = pngFile(
    pngChunk('CgBI', Buffer.from([0x50, 0, 0x20, 6])),
    header(),
    pngChunk('IDAT', data),
    end,
  )
  assert.is(
    await outcomeOf('image/png', file),
    'image_not_supported: The PNG is in the form of iOS applications (CgBI), which is not supported.',
  )
})

test('code points of a PNG convert its colours to sRGB', async () => {
  const displayP3 = pngFile(
    header(),
    pngChunk('cICP', Buffer.from([12, 13, 0, 1])),
    pngChunk('IDAT', data),
    end,
  )
  // Computed with the matrices of CSS Color 4.
  const expected = [
    [218, 0, 0],
    [0, 182, 30],
    [24, 50, 197],
    [223, 198, 0],
  ]
  assertColours((await renderFile('image/png', displayP3)).colours, expected, 1.5)
  const srgb = pngFile(header(), pngChunk('cICP', Buffer.from([1, 13, 0, 1])), pngChunk('IDAT', data), end)
  assertColours((await renderFile('image/png', srgb)).colours, flagColours)
})

test('gamma and chromaticities of a PNG convert its colours to sRGB, unless it says that they are sRGB', async () => {
  const linear = pngChunk('gAMA', Buffer.from([0, 1, 0x86, 0xa0]))
  // The curve of IEC 61966-2-1, computed by a script.
  const brighter = [
    [229, 96, 79],
    [110, 219, 133],
    [96, 122, 224],
    [239, 229, 110],
  ]
  const file = (...chunks: Buffer[]) => pngFile(header(), ...chunks, pngChunk('IDAT', data), end)
  assertColours((await renderFile('image/png', file(linear))).colours, brighter, 1)
  const srgb = pngChunk('sRGB', Buffer.from([0]))
  assertColours((await renderFile('image/png', file(srgb, linear))).colours, flagColours)
  const displayP3 = Buffer.alloc(32)
  for (const [index, value] of [31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000].entries()) {
    displayP3.writeUInt32BE(value, 4 * index)
  }
  const wide = await renderFile('image/png', file(pngChunk('cHRM', displayP3)))
  assertColours(
    wide.colours,
    [
      [218, 0, 0],
      [0, 182, 30],
      [24, 50, 197],
      [223, 198, 0],
    ],
    1.5,
  )
  const grey = await sharp(Buffer.alloc(64, 100), { raw: { width: 8, height: 8, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer()
  const greyLinear = Buffer.concat([grey.subarray(0, 33), linear, grey.subarray(33)])
  assertColours((await renderFile('image/png', greyLinear)).colours, Array(4).fill([168, 168, 168]), 0.5)
})

test('a PNG in BT.2100 PQ of 16 bits is shown as bright as sRGB, and brighter than white as white', async () => {
  // The formulas of ITU-R BT.2100 and BT.2087, with white at 203 cd/m².
  const linear = (value: number) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4
  const pq = (light: number) => {
    const y = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
  }
  const encode = (scale: number) => (colour: readonly [number, number, number]) => {
    const [r, g, b] = [linear(colour[0]), linear(colour[1]), linear(colour[2])]
    const samples = Buffer.alloc(6)
    const wide = [
      0.6274 * r + 0.3293 * g + 0.0433 * b,
      0.0691 * r + 0.9195 * g + 0.0114 * b,
      0.0164 * r + 0.088 * g + 0.8956 * b,
    ]
    for (const [index, value] of wide.entries())
      samples.writeUInt16BE(Math.round(65_535 * pq(203 * scale * value)), 2 * index)
    return samples
  }
  const file = (scale: number) =>
    pngFile(
      header(16),
      pngChunk('cICP', Buffer.from([9, 16, 0, 1])),
      pngChunk('IDAT', deflateSync(rows(encode(scale)))),
      end,
    )
  assertColours((await renderFile('image/png', file(1))).colours, flagColours, 1.5)
  const [, , , bright = []] = (await renderFile('image/png', file(8))).colours
  assert.ok((bright[0] ?? 0) > 230 && (bright[1] ?? 0) > 200, JSON.stringify(bright))
})

test('PNG of 16 bits, interlaced, with a palette and with a transparent colour have the right colours', async () => {
  const deep = pngFile(
    header(16),
    pngChunk('IDAT', deflateSync(rows((colour) => Buffer.from(colour.flatMap((v) => [v, v]))))),
    end,
  )
  assertColours((await renderFile('image/png', deep)).colours, flagColours)
  const interlaced = await flagPicture().png({ progressive: true }).toBuffer()
  assertColours((await renderFile('image/png', interlaced)).colours, flagColours)
  const palette = await flagPicture().png({ palette: true, colours: 4 }).toBuffer()
  assertColours((await renderFile('image/png', palette)).colours, flagColours, 1)
  const [red] = flagColours
  const key = Buffer.from([0, red[0], 0, red[1], 0, red[2]])
  const keyed = pngFile(header(), pngChunk('tRNS', key), pngChunk('IDAT', data), end)
  assertColours((await renderFile('image/png', keyed)).colours, [[...red, 0], ...flagColours.slice(1)])
})

test('odd WebP files have all pixels', async () => {
  const file = await flagPicture().webp({ lossless: true, effort: 0 }).toBuffer()
  for (const [name, bytes] of Object.entries(oddWebps(file))) {
    const { colours } = await renderFile('image/webp', bytes)
    assert.ok(largestDifference(colours, flagColours) === 0, `${name}: ${JSON.stringify(colours)}`)
  }
})

test('a WebP that is cut in its image, and an animated one that is shorter than declared, are incomplete', async () => {
  const file = await flagPicture().webp({ quality: 90 }).toBuffer()
  for (const cut of [1, 20, file.length - 25]) {
    assert.match(
      await outcomeOf('image/webp', file.subarray(0, -cut)),
      /^image_corrupt: The WebP is incomplete/,
    )
  }
  const column = Buffer.concat([await flagPicture(0).raw().toBuffer(), await flagPicture(1).raw().toBuffer()])
  const animated = await sharp(column, { raw: { width: 64, height: 96, channels: 3, pageHeight: 48 } })
    .webp({ lossless: true, effort: 0 })
    .toBuffer()
  const withoutLast = animated.subarray(0, animated.lastIndexOf('ANMF'))
  assert.match(await outcomeOf('image/webp', withoutLast), /^image_corrupt: The WebP is incomplete/)
})

test.run()
