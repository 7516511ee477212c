import type { Sharp } from 'sharp'
import type { Size } from './raster.ts'
import { sharp } from './sharp-setup.ts'

/** libvips reads this many rows at a time. */
const rowsPerStrip = 64

/** Where the pixels begin. TIFF 6.0, section 2: the header of a TIFF has 8 bytes. */
const headBytes = 8

/** Pixels of a decoder other than libvips, with their colour profile. */
export type ProfiledPixels = {
  /** To be filled: rows from the top without gaps, 8 bits per channel, alpha not premultiplied. */
  pixels: Buffer
  /** Opens them with sharp. */
  open(): Sharp
}

/**
 * Makes room for pixels with a colour profile. sharp takes raw pixels without a profile only, so they lie in an
 * uncompressed TIFF, whose pixels are filled in place.
 *
 * @param channels 3 for RGB, 4 for RGB and alpha
 * @param profile an ICC profile; undefined for sRGB
 */
export function createProfiledPixels(
  { width, height, channels }: Size & { channels: 3 | 4 },
  profile: Buffer | undefined,
): ProfiledPixels {
  const rowBytes = width * channels
  const pixelsEnd = headBytes + rowBytes * height
  const directoryAt = pixelsEnd + (pixelsEnd % 2)
  const strips = Math.ceil(height / rowsPerStrip)
  const starts = Array.from({ length: strips }, (_, index) => headBytes + index * rowsPerStrip * rowBytes)
  const lengths = starts.map((start) => Math.min(rowsPerStrip * rowBytes, pixelsEnd - start))
  const directory = makeDirectory(directoryAt, [
    [256, long([width])],
    [257, long([height])],
    [258, short(Array.from({ length: channels }, () => 8))],
    [259, short([1])],
    [262, short([2])],
    [273, long(starts)],
    [277, short([channels])],
    [278, long([rowsPerStrip])],
    [279, long(lengths)],
    [284, short([1])],
    // Alpha that is not premultiplied.
    ...(channels === 4 ? [[338, short([2])] satisfies Entry] : []),
    ...(profile ? [[34675, { type: 7, count: profile.length, data: profile }] satisfies Entry] : []),
  ])
  const file = Buffer.allocUnsafeSlow(directoryAt + directory.length)
  file.write('II*\0', 0, 'latin1')
  file.writeUInt32LE(directoryAt, 4)
  directory.copy(file, directoryAt)
  return {
    pixels: file.subarray(headBytes, pixelsEnd),
    open: () => sharp(file, { failOn: 'none' }),
  }
}

type Value = { type: number; count: number; data: Buffer }
type Entry = [tag: number, value: Value]

function short(values: number[]): Value {
  const data = Buffer.alloc(2 * values.length)
  for (const [index, value] of values.entries()) data.writeUInt16LE(value, 2 * index)
  return { type: 3, count: values.length, data }
}

function long(values: number[]): Value {
  const data = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) data.writeUInt32LE(value, 4 * index)
  return { type: 4, count: values.length, data }
}

/** TIFF 6.0, section 2: entries of tag, type, count, and the value, or its place if it has more than 4 bytes. */
function makeDirectory(start: number, entries: Entry[]): Buffer {
  const table = Buffer.alloc(2 + 12 * entries.length + 4)
  table.writeUInt16LE(entries.length, 0)
  const parts: Buffer[] = [table]
  let dataAt = start + table.length
  for (const [index, [tag, { type, count, data }]] of entries.entries()) {
    const at = 2 + 12 * index
    table.writeUInt16LE(tag, at)
    table.writeUInt16LE(type, at + 2)
    table.writeUInt32LE(count, at + 4)
    if (data.length <= 4) {
      data.copy(table, at + 8)
      continue
    }
    table.writeUInt32LE(dataAt, at + 8)
    const padded = data.length % 2 === 0 ? data : Buffer.concat([data, Buffer.alloc(1)])
    parts.push(padded)
    dataAt += padded.length
  }
  return Buffer.concat(parts)
}
