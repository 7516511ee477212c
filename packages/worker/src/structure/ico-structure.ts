import { readBmpFrame } from './bmp-structure.ts'

/** One picture of an icon file: where its data is, and what the directory says about it. */
export type IconEntry = { width: number; height: number; bitsPerPixel: number; start: number; end: number }

const directoryBytes = 6
const entryBytes = 16
/** In a cursor, the two numbers of an icon's colours are the place of its tip. */
const cursorType = 2

/**
 * Returns the largest picture of an ICO or CUR; of several, the one with most colours.
 *
 * @returns undefined if the directory is empty or the file ends in it
 */
export function largestIcon(file: Buffer): IconEntry | undefined {
  if (file.length < directoryBytes) return undefined
  const isCursor = file.readUInt16LE(2) === cursorType
  const count = file.readUInt16LE(4)
  let largest: IconEntry | undefined
  for (let index = 0; index < count; index++) {
    const at = directoryBytes + index * entryBytes
    if (at + entryBytes > file.length) return undefined
    const start = file.readUInt32LE(at + 12)
    const entry = {
      // 0 is 256.
      width: file.readUInt8(at) || 256,
      height: file.readUInt8(at + 1) || 256,
      bitsPerPixel: isCursor ? 0 : file.readUInt16LE(at + 6),
      start,
      end: start + file.readUInt32LE(at + 8),
    }
    if (!largest || compare(entry, largest) > 0) largest = entry
  }
  return largest
}

/** Whether a picture of an icon is a PNG (PNG specification, 5.2). Others are bitmaps. */
export function isPngIcon(file: Buffer, { start }: IconEntry): boolean {
  return file.toString('latin1', start, start + 8) === '\x89PNG\r\n\x1a\n'
}

/** Returns size and cost of an icon file's largest picture. */
export function readIconFrame(file: Buffer) {
  const entry = largestIcon(file)
  if (!entry) return undefined
  if (!isPngIcon(file, entry)) return readBmpFrame(file, { start: entry.start, isIcon: true })
  const [width, height] = [file.readUInt32BE(entry.start + 16), file.readUInt32BE(entry.start + 20)]
  return { width, height, frames: 1, pixelBytes: 8, isInterlaced: file.readUInt8(entry.start + 28) === 1 }
}

function compare(a: IconEntry, b: IconEntry): number {
  return a.width * a.height - b.width * b.height || a.bitsPerPixel - b.bitsPerPixel
}
