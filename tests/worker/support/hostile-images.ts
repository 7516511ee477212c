import { deflateSync } from 'node:zlib'
import { flagPicture } from './colours.ts'
import { pngChunk } from './odd-images.ts'
import { jpegSegment } from './odd-jpegs.ts'
import { pngFile } from './odd-pngs-and-webps.ts'
import { animation, sampleImage } from './sample-images.ts'
import { tiffFile } from './tiff-files.ts'

const megabyte = 1024 ** 2

/** Makes files that claim or cause far more work than their size suggests, by name. Each has the outcome it should have. */
export async function hostileImages(): Promise<
  Record<string, { bytes: Buffer; outcomes: readonly string[] }>
> {
  const jpeg = await sampleImage('image/jpeg', 60, 40)
  const gif = await animation('image/gif', { width: 2, height: 2, frames: 2 })
  const webp = await animation('image/webp', { width: 8, height: 8, frames: 2 })
  const avif = await flagPicture().avif({ effort: 0 }).toBuffer()
  const png = await sampleImage('image/png', 60, 40)
  const unpacksTo64MB = deflateSync(Buffer.alloc(64 * megabyte))
  const tooMany = ['image_too_many_pixels']
  const rejected = [
    'image_corrupt',
    'image_too_many_pixels',
    'image_too_large',
    'image_too_complex',
    'image_not_supported',
  ]
  // libnsgif ignores an impossible size and takes that of the frames.
  return {
    'JPEG of 65,500 × 65,500 without data': { bytes: jpegOfSize(jpeg, 65_500, 65_500), outcomes: tooMany },
    'JPEG of 100,000 segments': {
      bytes: Buffer.concat([
        jpeg.subarray(0, 2),
        Buffer.concat(Array(100_000).fill(jpegSegment(0xe5, Buffer.alloc(0)))),
        jpeg.subarray(2),
      ]),
      outcomes: [...rejected, 'ready'],
    },
    'JPEG with a colour profile in 255 pieces of zeros': {
      bytes: Buffer.concat([jpeg.subarray(0, 2), ...profilePieces(), jpeg.subarray(2)]),
      outcomes: ['ready', 'image_corrupt'],
    },
    'PNG with a text that unpacks to 64 MB': {
      bytes: withChunk(png, 'zTXt', Buffer.concat([Buffer.from('a\0\0'), unpacksTo64MB])),
      outcomes: ['ready', 'image_corrupt'],
    },
    'PNG with a colour profile that unpacks to 64 MB': {
      bytes: withChunk(png, 'iCCP', Buffer.concat([Buffer.from('a\0\0'), unpacksTo64MB])),
      outcomes: ['ready', 'image_corrupt'],
    },
    'PNG whose image data unpacks to 64 MB more': {
      bytes: pngFile(header(10, 10), pngChunk('IDAT', unpacksTo64MB), pngChunk('IEND', Buffer.alloc(0))),
      outcomes: ['ready', 'image_corrupt'],
    },
    'PNG of 200,000 chunks': {
      bytes: withChunk(png, 'tEXt', Buffer.from('a\0b'), 200_000),
      outcomes: ['image_too_complex'],
    },
    'animated PNG of 6,000 frames': { bytes: manyFrames(), outcomes: ['image_too_complex'] },
    'GIF of 6,000 frames': { bytes: repeatedFrame(gif, 6_000), outcomes: ['image_too_complex'] },
    'GIF of 65,535 × 65,535': {
      bytes: changed(gif, 6, [0xff, 0xff, 0xff, 0xff]),
      outcomes: [...tooMany, 'ready'],
    },
    'GIF of one pixel with a frame of 65,535 × 65,535': {
      bytes: largeFrame(gif),
      outcomes: [...tooMany, 'ready'],
    },
    'animated WebP of 16,384 × 16,384': {
      bytes: changed(webp, 24, [0xff, 0x3f, 0, 0xff, 0x3f, 0]),
      outcomes: [...tooMany, 'image_corrupt'],
    },
    'TIFF of 4 billion × 4 billion': {
      bytes: tiff({ 256: 0xffff_ffff, 257: 0xffff_ffff }),
      outcomes: rejected,
    },
    'TIFF of fractions, 30,000 × 30,000': {
      bytes: tiff({ 256: 30_000, 257: 30_000, 258: [32, 32, 32], 339: [3, 3, 3] }),
      outcomes: tooMany,
    },
    'TIFF of 65,535 samples': { bytes: tiff({ 277: 65_535 }), outcomes: rejected },
    'TIFF of a million strips at one place': {
      bytes: tiff({ 257: 50_000, 278: 1, 273: Array(50_000).fill(8), 279: Array(50_000).fill(192) }),
      outcomes: [...rejected, 'ready'],
    },
    'TIFF whose strips unpack to far more than they should': {
      bytes: tiffFile(
        { 256: 64, 257: 48, 258: [8, 8, 8, 8, 8], 259: 8, 262: 2, 277: 5, 278: 48, 338: [0, 0] },
        [unpacksTo64MB],
      ),
      outcomes: [...rejected, 'ready'],
    },
    'AVIF of 65,535 × 65,535': {
      bytes: changed(avif, avif.indexOf('ispe') + 8, [0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]),
      outcomes: rejected,
    },
    'AVIF of 10,000 boxes in boxes': {
      bytes: nestedBoxes(avif.subarray(0, avif.readUInt32BE(0)), 10_000),
      outcomes: rejected,
    },
    'AVIF with the properties of 1,000 pictures': {
      bytes: Buffer.concat([avif, ...Array(1_000).fill(avif.subarray(avif.readUInt32BE(0)))]),
      outcomes: [...rejected, 'ready'],
    },
  }
}

function changed(file: Buffer, at: number, bytes: readonly number[]): Buffer {
  const copy = Buffer.from(file)
  copy.set(bytes, at)
  return copy
}

function header(width: number, height: number): Buffer {
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width, 0)
  data.writeUInt32BE(height, 4)
  data.set([8, 2, 0, 0, 0], 8)
  return pngChunk('IHDR', data)
}

function jpegOfSize(jpeg: Buffer, width: number, height: number): Buffer {
  const at = jpeg.indexOf(Buffer.from([0xff, 0xc0]))
  return changed(jpeg, at + 5, [height >> 8, height & 0xff, width >> 8, width & 0xff])
}

function profilePieces(): Buffer[] {
  return Array.from({ length: 255 }, (_, index) =>
    jpegSegment(
      0xe2,
      Buffer.concat([
        Buffer.from(`ICC_PROFILE\0${String.fromCharCode(index + 1)}\xff`, 'latin1'),
        Buffer.alloc(65_000),
      ]),
    ),
  )
}

function withChunk(png: Buffer, type: string, data: Buffer, copies = 1): Buffer {
  const chunk = pngChunk(type, data)
  return Buffer.concat([png.subarray(0, 33), Buffer.concat(Array(copies).fill(chunk)), png.subarray(33)])
}

/** Frames of one pixel that share their data. */
function manyFrames(): Buffer {
  const control = Buffer.alloc(26)
  control.writeUInt32BE(1, 4)
  control.writeUInt32BE(1, 8)
  const data = deflateSync(Buffer.alloc(4))
  const frame = Buffer.concat([
    pngChunk('fcTL', control),
    pngChunk('fdAT', Buffer.concat([Buffer.alloc(4), data])),
  ])
  return pngFile(
    header(1, 1),
    pngChunk('acTL', Buffer.from([0, 0, 0x17, 0x70, 0, 0, 0, 0])),
    pngChunk('IDAT', data),
    ...Array(6_000).fill(frame),
    pngChunk('IEND', Buffer.alloc(0)),
  )
}

function repeatedFrame(gif: Buffer, count: number): Buffer {
  const start = gif.lastIndexOf(Buffer.from([0x21, 0xf9]))
  return Buffer.concat([
    gif.subarray(0, start),
    ...Array(count).fill(gif.subarray(start, -1)),
    gif.subarray(-1),
  ])
}

function largeFrame(gif: Buffer): Buffer {
  const last = gif.lastIndexOf(Buffer.from([0x21, 0xf9]))
  return changed(gif, last + 8 + 5, [0xff, 0xff, 0xff, 0xff])
}

function tiff(tags: Record<number, number | number[]>): Buffer {
  return tiffFile({ 256: 64, 257: 48, 258: [8, 8, 8], 259: 1, 262: 2, 277: 3, 278: 48, ...tags }, [
    Buffer.alloc(9_216),
  ])
}

function nestedBoxes(before: Buffer, depth: number): Buffer {
  const boxes = Buffer.alloc(12 * depth)
  for (let level = 0; level < depth; level++) {
    boxes.writeUInt32BE(boxes.length - 12 * level, 12 * level)
    boxes.write('meta', 12 * level + 4, 'latin1')
  }
  return Buffer.concat([before, boxes])
}
