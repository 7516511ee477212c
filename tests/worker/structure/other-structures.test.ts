import type { LibvipsKind } from '@millrace/worker/formats/image-kind.ts'
import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import { checkBeforeDecoding, repairImage } from '@millrace/worker/headers/image-structure.ts'
import { partLimits } from '@millrace/worker/structure/structure.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { pngChunk } from '../support/odd-images.ts'
import { animation, sampleImage, sampleKinds, truncated } from '../support/sample-images.ts'

const test = suite('structure of other formats')

function stateOf(kind: LibvipsKind, file: Buffer): string {
  return checkBeforeDecoding(kind, file).state
}

/** Decodes the first repaired copy, failing on every warning. */
async function repairedPixels(kind: LibvipsKind, file: Buffer): Promise<Buffer> {
  return sharp(repairImage(kind, file) ?? file, { failOn: 'warning' })
    .raw()
    .toBuffer()
}

for (const kind of sampleKinds) {
  if (kind === 'image/jpeg') continue

  test(`a ${kind} is whole, and truncated if it is cut in half`, async () => {
    const file = await sampleImage(kind)
    assert.is(stateOf(kind, file), 'whole')
    assert.is(stateOf(kind, truncated(file)), 'truncated')
  })

  test(`a ${kind} with bytes after its end is whole`, async () => {
    const file = Buffer.concat([await sampleImage(kind), Buffer.from('bytes')])
    assert.is(stateOf(kind, file), 'whole')
  })

  test(`any bytes of a ${kind} are checked and repaired without an exception`, async () => {
    const file = await sampleImage(kind, 60, 40)
    let seed = 5
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(file.subarray(0, 1 + ((round * 37) % file.length)))
      for (let flips = 0; flips < 4; flips++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
        bytes[seed % Math.min(bytes.length, 400)] = (seed >> 12) & 0xff
      }
      checkBeforeDecoding(kind, bytes)
      assert.ok((repairImage(kind, bytes)?.length ?? 0) < 4 * file.length + 1000)
    }
  })
}

for (const kind of ['image/gif', 'image/webp'] as const) {
  test(`an animated ${kind} that ends in a frame is truncated`, async () => {
    const file = await animation(kind, { frames: 4 })
    assert.equal(checkBeforeDecoding(kind, file), { state: 'whole', parts: { name: 'frames', count: 4 } })
    assert.is(stateOf(kind, file.subarray(0, file.length - 20)), 'truncated')
  })
}

test('a GIF without its trailer and a WebP without its padding are whole', async () => {
  const gif = await animation('image/gif')
  assert.is(stateOf('image/gif', gif.subarray(0, gif.length - 1)), 'whole')
  const webp = await sampleImage('image/webp')
  // An odd chunk at the end, without the byte that pads it.
  const odd = Buffer.concat([webp, Buffer.from('EXIF\x01\0\0\0x', 'latin1')])
  odd.writeUInt32LE(odd.length - 8 + 1, 4)
  assert.is(stateOf('image/webp', odd), 'whole')
})

test('a PNG without IEND, or with a damaged text chunk, keeps all pixels when it is repaired', async () => {
  const png = await sampleImage('image/png')
  const pixels = await sharp(png).raw().toBuffer()
  const text = pngChunk('tEXt', Buffer.from('Comment\0text'))
  text[9] = 0x40
  const header = 8 + 25
  const odd = [
    png.subarray(0, png.length - 12),
    png.subarray(0, png.length - 5),
    Buffer.concat([png.subarray(0, header), text, png.subarray(header)]),
  ]
  for (const bytes of odd) {
    assert.is(stateOf('image/png', bytes), 'whole')
    assert.equal(await repairedPixels('image/png', bytes), pixels)
  }
})

test('a PNG whose header does not match its checksum is damaged, before a decoder believes its size', async () => {
  const png = Buffer.from(await sampleImage('image/png'))
  png.writeUInt8(0x40, 17)
  assert.is(stateOf('image/png', png), 'damaged')
})

test('repairing TIFF remarks keeps all pixels', async () => {
  const pixels = await sharp(await fixtureImage('tiff-good.tif'))
    .raw()
    .toBuffer()
  for (const name of ['ascii-no-nul', 'tags-unsorted', 'four-bitspersample', 'pagenumber-one', 'good']) {
    const file = await fixtureImage(`tiff-${name}.tif`)
    assert.is(stateOf('image/tiff', file), 'whole')
    assert.equal(await repairedPixels('image/tiff', file), pixels, name)
  }
})

for (const [name, options] of [
  ['uncompressed', { compression: 'none' }],
  ['LZW', { compression: 'lzw' }],
  ['tiled', { compression: 'deflate', tile: true, tileWidth: 64, tileHeight: 64 }],
  ['BigTIFF', { compression: 'lzw', bigtiff: true }],
  ['JPEG', { compression: 'jpeg' }],
] as const) {
  test(`repairing a good TIFF (${name}) keeps all pixels`, async () => {
    const picture = sharp(await sampleImage('image/png'))
    const file = await picture.tiff(options).toBuffer()
    assert.is(stateOf('image/tiff', file), 'whole')
    assert.equal(await repairedPixels('image/tiff', file), await sharp(file).raw().toBuffer())
  })
}

test('a TIFF without StripByteCounts is repaired', async () => {
  const file = Buffer.from(await fixtureImage('tiff-good.tif'))
  const pixels = await sharp(file).raw().toBuffer()
  const directory = file.readUInt32LE(4)
  for (let i = 0; i < file.readUInt16LE(directory); i++) {
    const at = directory + 2 + 12 * i
    // 279 becomes an unknown tag.
    if (file.readUInt16LE(at) === 279) file.writeUInt16LE(65_000, at)
  }
  assert.is(stateOf('image/tiff', file), 'whole')
  assert.equal(await repairedPixels('image/tiff', file), pixels)
})

test('the pages of a TIFF whose directories form a circle are counted once', async () => {
  const file = Buffer.from(await fixtureImage('tiff-good.tif'))
  const directory = file.readUInt32LE(4)
  file.writeUInt32LE(directory, directory + 2 + 12 * file.readUInt16LE(directory))
  assert.equal(checkBeforeDecoding('image/tiff', file).parts, { name: 'pages', count: 1 })
})

test('the frames of a GIF are counted, more than the limit too', async () => {
  const gif = await animation('image/gif', { width: 2, height: 2, frames: 2 })
  const start = gif.lastIndexOf(Buffer.from([0x21, 0xf9]))
  const frame = gif.subarray(start, gif.length - 1)
  const many = Buffer.concat([
    gif.subarray(0, start),
    ...Array.from({ length: 6_000 }, () => frame),
    gif.subarray(-1),
  ])
  assert.ok((checkBeforeDecoding('image/gif', many).parts?.count ?? 0) > partLimits.frames)
})

test('checks stop soon in files of very many empty parts', async () => {
  const size = 40 * 1024 ** 2
  const jpeg = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += 4) jpeg.set([0xff, 0xe5, 0, 2], at)
  jpeg.set([0xff, 0xd8, 0xff, 0xe5], 0)
  assert.is(readImageHeader('image/jpeg', jpeg), undefined)
  const webp = Buffer.concat([
    (await sampleImage('image/webp')).subarray(0, 12),
    Buffer.alloc(size, 'ABCD\0\0\0\0'),
  ])
  webp.writeUInt32LE(webp.length - 8, 4)
  assert.is(checkBeforeDecoding('image/webp', webp).parts?.count, partLimits.chunks + 1)
  // A BigTIFF that declares as many entries as its bytes hold.
  const tiff = Buffer.alloc(size)
  tiff.write('II+\0\x08\0\0\0', 'latin1')
  tiff.writeUInt32LE(16, 8)
  tiff.writeUInt32LE(Math.floor((size - 100) / 20), 16)
  assert.is(readImageHeader('image/tiff', tiff), undefined)
})

test.run()
