import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'

export const sampleKinds = [
  'image/jpeg',
  'image/png',
  'image/webp',
  'image/avif',
  'image/gif',
  'image/tiff',
] as const
export type SampleKind = (typeof sampleKinds)[number]

/**
 * Makes the same RGB pixels each time, with structure and noise. Each quarter of the picture has its own colour, which
 * shows the orientation.
 */
function pixels(width: number, height: number): Buffer {
  const data = Buffer.alloc(width * height * 3)
  let seed = 1
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      const noise = (seed >> 16) % 24
      const at = (y * width + x) * 3
      const left = x < width / 2
      const top = y < height / 2
      data[at] = (left && top) || (!left && !top) ? 200 + noise : 20 + noise
      data[at + 1] = !left ? 200 + noise : 20 + noise
      data[at + 2] = left && !top ? 200 + noise : 20 + noise
    }
  }
  return data
}

/** Makes a picture of four quarters: red, green; blue, yellow. */
export function samplePicture(width: number, height: number) {
  return sharp(pixels(width, height), { raw: { width, height, channels: 3 } })
}

/** Returns the colours in the middle of each quarter: top left, top right, bottom left, bottom right. */
export async function quarters(encoded: Buffer): Promise<string> {
  const { data, info } = await sharp(encoded)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  const at = (x: number, y: number) => {
    const offset = (Math.floor(info.height * y) * info.width + Math.floor(info.width * x)) * info.channels
    const [red = 0, green = 0, blue = 0] = data.subarray(offset, offset + 3)
    if (blue > red + 40 && blue > green + 40) return 'blue'
    if (green > red + 40 && green > blue + 40) return 'green'
    if (red > green + 40 && red > blue + 40) return 'red'
    return Math.min(red, green) > blue + 40 ? 'yellow' : 'none'
  }
  return [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)].join(' ')
}

/** Makes a file of the kind. */
export async function sampleImage(kind: SampleKind, width = 240, height = 160): Promise<Buffer> {
  const picture = samplePicture(width, height)
  switch (kind) {
    case 'image/jpeg':
      return picture.jpeg({ quality: 90 }).toBuffer()
    case 'image/png':
      return picture.png().toBuffer()
    case 'image/webp':
      return picture.webp({ effort: 0 }).toBuffer()
    case 'image/avif':
      return picture.avif({ effort: 0, quality: 80 }).toBuffer()
    case 'image/gif':
      return picture.gif({ effort: 1 }).toBuffer()
    case 'image/tiff':
      return picture.tiff({ compression: 'lzw' }).toBuffer()
  }
}

/** Makes a JPEG like a phone's: rotated by EXIF, with a GPS position, a colour profile, XMP and IPTC. */
export async function phonePhoto(
  width: number,
  height: number,
  { orientation = 6 }: { orientation?: number } = {},
): Promise<Buffer> {
  const jpeg = await samplePicture(width, height)
    .withIccProfile('p3')
    .withExifMerge({
      IFD0: { Make: 'Millrace Phone', Copyright: 'someone' },
      IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '52/1 31/1 12/1' },
    })
    .withMetadata({ orientation })
    .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><note>home address</note></x:xmpmeta>')
    .jpeg({ quality: 85 })
    .toBuffer()
  return Buffer.concat([jpeg.subarray(0, 2), iptcSegment('a caption'), jpeg.subarray(2)])
}

/** Makes an APP13 segment with one IPTC record: the caption (2:120). */
function iptcSegment(caption: string): Buffer {
  const text = Buffer.from(caption)
  const record = Buffer.concat([Buffer.from([0x1c, 2, 120, 0, text.length]), text])
  const padded = record.length % 2 === 0 ? record : Buffer.concat([record, Buffer.alloc(1)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(record.length)
  const resource = Buffer.concat([Buffer.from('8BIM\x04\x04\0\0', 'latin1'), length, padded])
  const body = Buffer.concat([Buffer.from('Photoshop 3.0\0', 'latin1'), resource])
  const head = Buffer.from([0xff, 0xed, 0, 0])
  head.writeUInt16BE(body.length + 2, 2)
  return Buffer.concat([head, body])
}

/** Makes an animated GIF or WebP. */
export async function animation(
  kind: 'image/gif' | 'image/webp',
  { width = 120, height = 80, frames = 4 }: { width?: number; height?: number; frames?: number } = {},
): Promise<Buffer> {
  const shades = await Promise.all(
    Array.from({ length: frames }, (_, i) =>
      sharp({ create: { width, height, channels: 3, background: { r: i * 40, g: 90, b: 200 - i * 40 } } })
        .raw()
        .toBuffer(),
    ),
  )
  const picture = sharp(Buffer.concat(shades), {
    raw: { width, height: height * frames, channels: 3, pageHeight: height },
  })
  const timing = { delay: Array.from({ length: frames }, (_, i) => 100 + i * 10), loop: 3 }
  return kind === 'image/gif'
    ? picture.gif(timing).toBuffer()
    : picture.webp({ ...timing, effort: 0 }).toBuffer()
}

/**
 * Makes a PNG of some 60 KB with 400 million black pixels, which would decode to 1.2 GB.
 * PNG specification, 5: signature, then chunks of length, type, data, CRC.
 */
export function decompressionBomb(): Buffer {
  const side = 20_000
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  header[8] = 1 // one bit per pixel, grey
  const rows = Buffer.alloc(side * (1 + side / 8))
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const framed = Buffer.alloc(body.length + 8)
    framed.writeUInt32BE(data.length, 0)
    body.copy(framed, 4)
    framed.writeUInt32BE(crc32(body), body.length + 4)
    return framed
  }
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Returns the file without its second half. */
export function truncated(file: Buffer): Buffer {
  return file.subarray(0, Math.floor(file.length / 2))
}

/** Returns the file with bytes in the middle replaced, after all headers. */
export function damaged(file: Buffer): Buffer {
  const copy = Buffer.from(file)
  const start = Math.floor(copy.length * 0.4)
  const length = Math.floor(copy.length * 0.2)
  let seed = 7
  for (let i = start; i < start + length; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    copy[i] = (seed >> 16) & 0xff
  }
  return copy
}
