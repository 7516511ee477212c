import { deflateSync } from 'node:zlib'
import { pngChunk } from './odd-images.ts'

/** Makes a PNG of chunks. */
export function pngFile(...chunks: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks])
}

/**
 * Makes PNGs whose pixels are those of a good one, by what is odd about them.
 *
 * @param file a PNG of three chunks: header, image data, end
 * @param raw its image data before compression
 */
export function oddPngs(file: Buffer, raw: Buffer): Record<string, Buffer> {
  const header = file.subarray(8, 33)
  const end = file.subarray(-12)
  const packed = file.subarray(41, -16)
  const data = pngChunk('IDAT', packed)
  const text = pngChunk('tEXt', Buffer.from('Comment\0text'))
  const damaged = (chunk: Buffer) => {
    const copy = Buffer.from(chunk)
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
    return copy
  }
  const half = Math.floor(packed.length / 2)
  return {
    'bytes after its end': Buffer.concat([file, Buffer.from('bytes')]),
    'no end': file.subarray(0, -12),
    'half of its end': file.subarray(0, -5),
    'a wrong checksum of its end': pngFile(header, data, damaged(end)),
    'a wrong checksum of a text': pngFile(header, damaged(text), data, end),
    'a wrong checksum of its image data': pngFile(header, damaged(data), end),
    'a wrong checksum within its image data': pngFile(
      header,
      pngChunk('IDAT', Buffer.concat([packed.subarray(0, -4), Buffer.from('sum!')])),
      end,
    ),
    'no checksum within its image data': pngFile(header, pngChunk('IDAT', packed.subarray(0, -4)), end),
    'empty image data': pngFile(header, pngChunk('IDAT', Buffer.alloc(0)), data, end),
    'a text between its image data': pngFile(
      header,
      pngChunk('IDAT', packed.subarray(0, half)),
      text,
      pngChunk('IDAT', packed.subarray(half)),
      end,
    ),
    'more rows than its height': pngFile(
      header,
      pngChunk('IDAT', deflateSync(Buffer.concat([raw, Buffer.alloc(1_000)]))),
      end,
    ),
    'an unknown chunk': pngFile(header, pngChunk('abCd', Buffer.from('xx')), data, end),
    'an unreadable colour profile': pngFile(
      header,
      pngChunk('iCCP', Buffer.from('x\0\0no profile')),
      data,
      end,
    ),
    'an unknown rendering intent': pngFile(header, pngChunk('sRGB', Buffer.from([9])), data, end),
    'a gamma of zero': pngFile(header, pngChunk('gAMA', Buffer.alloc(4)), data, end),
    'a palette beside its colours': pngFile(header, pngChunk('PLTE', Buffer.alloc(30)), data, end),
    'two of a chunk': pngFile(
      header,
      pngChunk('pHYs', Buffer.alloc(9, 1)),
      pngChunk('pHYs', Buffer.alloc(9, 1)),
      data,
      end,
    ),
    'an impossible time': pngFile(header, pngChunk('tIME', Buffer.from([7, 224, 1, 0, 1, 1, 1])), data, end),
  }
}

/** Makes WebPs whose pixels are those of a good still one, by what is odd about them. */
export function oddWebps(file: Buffer): Record<string, Buffer> {
  const withSize = (bytes: Buffer, size: number) => {
    const copy = Buffer.from(bytes)
    copy.writeUInt32LE(size, 4)
    return copy
  }
  const metadata = Buffer.from('EXIF\x40\0\0\0cut', 'latin1')
  return {
    'bytes after its end': Buffer.concat([file, Buffer.from('bytes')]),
    'a size of zero': withSize(file, 0),
    'the largest size': withSize(file, 0xffffffff),
    'a size beyond its end': withSize(file, file.length + 100),
    'metadata that are cut': withSize(Buffer.concat([file, metadata]), file.length + 64),
    'an unknown chunk': withSize(
      Buffer.concat([file, Buffer.from('abcd\x02\0\0\0xx', 'latin1')]),
      file.length + 2,
    ),
  }
}
