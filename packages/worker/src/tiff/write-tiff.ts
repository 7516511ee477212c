import { photometrics } from './tiff-encoding.ts'

/** Pixels of 16 bits, and what they are. */
export type PlainTiff = {
  width: number
  height: number
  /** Rows from the top, channels interleaved. */
  pixels: Uint16Array
  photometric: number
  /** Channels without alpha. */
  colours: number
  alpha?: 'straight' | 'premultiplied'
  /** Values of EXIF's orientation. */
  orientation: number
  iccProfile?: Buffer
}

/** Types of values: 16 bits, 32 bits, and any bytes. */
export const short = 3
export const long = 4
export const bytes = 7

/** Tag, type and values. */
export type TiffEntry = [tag: number, type: number, values: number[] | Buffer]

/** Writes a TIFF of one strip without compression, which every decoder reads (TIFF 6.0, part 1). */
export function writePlainTiff(image: PlainTiff): Buffer {
  const { width, height, pixels, photometric, colours, alpha, orientation, iccProfile } = image
  const samples = colours + (alpha ? 1 : 0)
  const strip = Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength)
  const headBytes = 8
  const directoryAt = headBytes + strip.length
  const values: TiffEntry[] = [
    [256, long, [width]],
    [257, long, [height]],
    [258, short, Array.from({ length: samples }, () => 16)],
    [259, short, [1]],
    [262, short, [photometric ?? photometrics.rgb]],
    [273, long, [headBytes]],
    [274, short, [orientation]],
    [277, short, [samples]],
    [278, long, [height]],
    [279, long, [strip.length]],
    ...(alpha ? ([[338, short, [alpha === 'premultiplied' ? 1 : 2]]] satisfies TiffEntry[]) : []),
    ...(iccProfile ? ([[34_675, bytes, iccProfile]] satisfies TiffEntry[]) : []),
  ]
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1')
  head.writeUInt32LE(directoryAt, 4)
  return Buffer.concat([head, strip, tiffDirectory(directoryAt, values)])
}

/**
 * Returns a directory and its data (TIFF 6.0, section 2), least significant byte first: entries of tag, type, count, and the
 * value, or its place if it has more than 4 bytes.
 *
 * @param at where it will stand in the file, in bytes
 * @param entries in the order of their tags
 */
export function tiffDirectory(at: number, entries: TiffEntry[]): Buffer {
  const table = Buffer.alloc(2 + 12 * entries.length + 4)
  table.writeUInt16LE(entries.length)
  const data: Buffer[] = []
  let dataAt = at + table.length
  for (const [index, [tag, type, list]] of entries.entries()) {
    const place = 2 + 12 * index
    const value = Buffer.isBuffer(list) ? list : numbers(list, type)
    table.writeUInt16LE(tag, place)
    table.writeUInt16LE(type, place + 2)
    table.writeUInt32LE(list.length, place + 4)
    if (value.length <= 4) {
      value.copy(table, place + 8)
      continue
    }
    table.writeUInt32LE(dataAt, place + 8)
    const padded = value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.alloc(1)])
    data.push(padded)
    dataAt += padded.length
  }
  return Buffer.concat([table, ...data])
}

function numbers(list: number[], type: number): Buffer {
  const size = type === short ? 2 : 4
  const value = Buffer.alloc(size * list.length)
  for (const [index, number] of list.entries()) value.writeUIntLE(number, size * index, size)
  return value
}
