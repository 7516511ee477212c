import { deflateSync } from 'node:zlib'
import sharp from 'sharp'
import { pngChunk } from './odd-images.ts'
import { animation, samplePicture } from './sample-images.ts'

/** Texts in the files below, of which no variant may have any: camera, serial number, thumbnail, notes. */
export const secrets = [
  'Millrace Phone',
  'SERIAL-0815',
  'THUMBNAIL-4711',
  'home address',
  'a caption',
  'a remark',
] as const

const xmp =
  '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><note>home address</note></rdf:RDF></x:xmpmeta>'

type Entry = readonly [tag: number, type: number, count: number, value: number | Buffer]

/**
 * Makes EXIF data as a camera does: make and copyright, a serial number, a position, and a thumbnail.
 * @returns a TIFF, little-endian
 */
export function revealingExif(): Buffer {
  const text = (value: string) => Buffer.from(`${value}\0`)
  const rationals = (...values: number[]) => {
    const bytes = Buffer.alloc(8 * values.length)
    for (const [index, value] of values.entries()) {
      bytes.writeUInt32LE(value, 8 * index)
      bytes.writeUInt32LE(1, 8 * index + 4)
    }
    return bytes
  }
  const ascii = (tag: number, value: string): Entry => [tag, 2, value.length + 1, text(value)]
  const thumbnail = Buffer.concat([
    Buffer.from([0xff, 0xd8, 0xff, 0xfe, 0, 16]),
    Buffer.from('THUMBNAIL-4711'),
    Buffer.from([0xff, 0xd9]),
  ])
  const parts: Buffer[] = [Buffer.from('II*\0\0\0\0\0', 'latin1')]
  let end = 8
  const append = (bytes: Buffer): number => {
    const at = end
    const padded = Buffer.concat([bytes, Buffer.alloc(bytes.length % 2)])
    parts.push(padded)
    end += padded.length
    return at
  }
  /** TIFF 6.0, section 2. @returns where it begins */
  const directory = (entries: readonly Entry[], next = 0): number => {
    const bytes = Buffer.alloc(2 + 12 * entries.length + 4)
    bytes.writeUInt16LE(entries.length)
    for (const [index, [tag, type, count, value]] of entries.entries()) {
      const at = 2 + 12 * index
      bytes.writeUInt16LE(tag, at)
      bytes.writeUInt16LE(type, at + 2)
      bytes.writeUInt32LE(count, at + 4)
      if (typeof value === 'number') bytes.writeUInt32LE(value, at + 8)
      else if (value.length <= 4) value.copy(bytes, at + 8)
      else bytes.writeUInt32LE(append(value), at + 8)
    }
    bytes.writeUInt32LE(next, bytes.length - 4)
    return append(bytes)
  }
  const gps = directory([
    [1, 2, 2, text('N')],
    [2, 5, 3, rationals(52, 31, 12)],
    [3, 2, 2, text('E')],
    [4, 5, 3, rationals(13, 24, 36)],
  ])
  const exif = directory([ascii(0xa431, 'SERIAL-0815')])
  const second = directory([
    [0x103, 3, 1, 6],
    [0x201, 4, 1, append(thumbnail)],
    [0x202, 4, 1, thumbnail.length],
  ])
  const first = directory(
    [
      ascii(0x10f, 'Millrace Phone'),
      ascii(0x110, 'Millrace Phone 9'),
      ascii(0x8298, 'someone'),
      [0x8769, 4, 1, exif],
      [0x8825, 4, 1, gps],
    ],
    second,
  )
  const file = Buffer.concat(parts)
  file.writeUInt32LE(first, 4)
  return file
}

function segment(marker: number, data: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(data.length + 2, 2)
  return Buffer.concat([head, data])
}

/** A JPEG in Display P3 with EXIF, XMP, IPTC and a comment. */
async function revealingJpeg(): Promise<Buffer> {
  const jpeg = await samplePicture(24, 16).withIccProfile('p3').jpeg({ quality: 90 }).toBuffer()
  const caption = Buffer.from('\x1c\x02\x78\x00\x09a caption', 'latin1')
  const resource = Buffer.concat([
    Buffer.from('Photoshop 3.0\x008BIM\x04\x04\0\0', 'latin1'),
    Buffer.from([0, 0, 0, caption.length]),
    caption,
  ])
  return Buffer.concat([
    jpeg.subarray(0, 2),
    segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), revealingExif()])),
    segment(0xe1, Buffer.from(`http://ns.adobe.com/xap/1.0/\0${xmp}`)),
    segment(0xed, resource),
    segment(0xfe, Buffer.from('a remark')),
    jpeg.subarray(2),
  ])
}

/** Adds chunks with metadata to a PNG, after its header. */
function revealingPng(png: Buffer): Buffer {
  const text = Buffer.concat([Buffer.from('Comment\0\0'), deflateSync(Buffer.from('a remark'))])
  return Buffer.concat([
    png.subarray(0, 33),
    pngChunk('eXIf', revealingExif()),
    pngChunk('tEXt', Buffer.from('Author\0a remark')),
    pngChunk('zTXt', text),
    pngChunk('iTXt', Buffer.from(`XML:com.adobe.xmp\0\0\0\0\0${xmp}`)),
    png.subarray(33),
  ])
}

/** Adds the chunks EXIF and XMP to an animated WebP, whose header has flags for them (RFC 9649, 2.7.1). */
function revealingWebp(webp: Buffer): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const head = Buffer.alloc(8)
    head.write(type, 'latin1')
    head.writeUInt32LE(data.length, 4)
    return Buffer.concat([head, data, Buffer.alloc(data.length % 2)])
  }
  const file = Buffer.concat([webp, chunk('EXIF', revealingExif()), chunk('XMP ', Buffer.from(xmp))])
  file.writeUInt8(file.readUInt8(20) | 0x08 | 0x04, 20)
  file.writeUInt32LE(file.length - 8, 4)
  return file
}

/** Adds a comment and XMP to an animated GIF, before its end. */
function revealingGif(gif: Buffer): Buffer {
  const comment = Buffer.concat([Buffer.from([0x21, 0xfe, 8]), Buffer.from('a remark'), Buffer.alloc(1)])
  const trailer = Buffer.from([1, ...Array.from({ length: 256 }, (_, index) => 255 - index), 0])
  const packet = Buffer.concat([Buffer.from([0x21, 0xff, 11]), Buffer.from(`XMP DataXMP${xmp}`), trailer])
  return Buffer.concat([gif.subarray(0, -1), comment, packet, gif.subarray(-1)])
}

/**
 * Makes files that tell much about their owner, by name. Each has at least the EXIF or the XMP of above.
 * @param apng an animated PNG
 */
export async function revealingFiles(
  apng: Buffer,
): Promise<{ still: Record<string, Buffer>; moving: Record<string, Buffer> }> {
  const jpeg = await revealingJpeg()
  const copy = () => sharp(jpeg).keepMetadata()
  const size = { width: 24, height: 16, frames: 3 }
  return {
    still: {
      JPEG: jpeg,
      PNG: revealingPng(await samplePicture(24, 16).png().toBuffer()),
      WebP: await copy().webp({ effort: 0 }).toBuffer(),
      AVIF: await copy().avif({ effort: 0 }).toBuffer(),
      TIFF: await copy().tiff({ compression: 'lzw' }).toBuffer(),
    },
    moving: {
      'animated WebP': revealingWebp(await animation('image/webp', size)),
      'animated GIF': revealingGif(await animation('image/gif', size)),
      'animated PNG': revealingPng(apng),
    },
  }
}
